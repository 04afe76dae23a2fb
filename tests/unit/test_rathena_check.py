"""What stands between an operator's rAthena and Kafra is found, named with its file, and put right in files of our own."""

from pathlib import Path

import pytest
from rathena_tree import HOSTABLE, MAPS, NO_MAPS, found, of, open_, put, settings, tree, written

from services.ops.rathena.ours import ours
from services.ops.rathena.tree import CORE_CONF, FALLBACK_CONF, Tree


def test_a_stock_tree_has_no_fallback_and_a_core_with_everything(tmp_path: Path):
    findings = found(tree(tmp_path, packet_conf="x: 1"))

    assert set(open_(findings, "must")) == {
        ("both", "enable_ip_rules"),
        ("core", "char_ip"),
        ("core", "char_port"),
        ("core", "map_ip"),
        ("fallback", "itself"),
        ("both", "prevent_logout"),
        ("core", "map"),
    }
    assert of(findings, "core", "map").found == ", ".join(HOSTABLE)
    assert [finding.severity for finding in findings] == sorted(
        (finding.severity for finding in findings), key=("must", "should", "ok").index
    )


def test_with_our_files_nothing_is_open(tmp_path: Path):
    root = written(tree(tmp_path))

    assert open_(found(root)) == []
    read = Tree.read(root)
    assert read.fallback is not None
    assert (read.core.maps(), read.fallback.maps()) == (("prontera", "geffen", "izlude"), HOSTABLE)
    assert all(file.state == "same" for file in ours(read, settings()))


def test_every_open_finding_says_where_and_why(tmp_path: Path):
    for finding in found(tree(tmp_path, inter_athena="", map_index=""), settings(relay={"public": "127.0.0.1:5121"})):
        if finding.severity != "ok":
            assert finding.file, finding
            assert finding.why, finding


# -- one thing is wrong, and it alone is said -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key", "severity"),
    [
        ("char_ip: 10.0.0.9", "char_ip", "must"),
        ("char_port: 6121", "char_port", "must"),
        ("map_ip: 10.0.0.9", "map_ip", "must"),
        ("map_port: 5199", "map_port", "must"),
        ("bind_ip: 0.0.0.0", "bind_ip", "should"),
        ("userid: other", "userid", "must"),
        ("passwd: other", "passwd", "must"),
        ("autosave_time: 300", "autosave_time", "should"),
        ("autosave_time: 0", "autosave_time", "should"),
        ("minsave_time: 1000", "minsave_time", "should"),
        ("save_settings: 1", "save_settings", "should"),
        ("console: on", "console", "should"),
    ],
)
@pytest.mark.parametrize(("server", "conf"), [("core", CORE_CONF), ("fallback", FALLBACK_CONF)])
def test_a_setting_that_is_wrong_is_found(tmp_path: Path, server: str, conf: str, line: str, key: str, severity: str):
    path = written(tree(tmp_path)) / conf
    path.write_text(path.read_text() + line + "\n")

    findings = found(tmp_path)

    assert open_(findings) == [(server, key)]
    assert of(findings, server, key).severity == severity


def test_a_players_server_may_save_less_often_on_the_core_than_on_the_fallback(tmp_path: Path):
    root = written(tree(tmp_path))
    for conf in (CORE_CONF, FALLBACK_CONF):
        put(root, conf, (root / conf).read_text() + "autosave_time: 20\n")

    assert open_(found(root)) == [("fallback", "autosave_time")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("map: moc_fild01", ("core", "map", "moc_fild01")),
        ("delmap: geffen", ("core", "map (rest)", "without geffen")),
    ],
)
def test_the_cores_maps_are_his_others(tmp_path: Path, line: str, expected: tuple[str, str, str]):
    root = written(tree(tmp_path))
    put(root, CORE_CONF, (root / CORE_CONF).read_text() + line + "\n")

    findings = found(root)

    assert open_(findings, "must") == [expected[:2]]
    assert of(findings, *expected[:2]).found == expected[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("delmap: pay_dun01", ("fallback", "map", "without pay_dun01")),
        ("map: prontera", ("fallback", "map (others)", "prontera")),
    ],
)
def test_the_fallbacks_maps_are_those_hosts_may_serve(tmp_path: Path, line: str, expected: tuple[str, str, str]):
    root = written(tree(tmp_path))
    put(root, FALLBACK_CONF, (root / FALLBACK_CONF).read_text() + line + "\n")

    findings = found(root)

    assert open_(findings, "must") == [expected[:2]]
    assert of(findings, *expected[:2]).found == expected[2]


def test_never_wins_over_eligible(tmp_path: Path):
    wanted = settings(maps={"never": ("pay_fild03",)})
    root = written(tree(tmp_path), wanted)

    read = Tree.read(root)
    assert read.fallback is not None
    assert read.fallback.maps() == ("moc_fild01", "pay_dun01")
    assert "pay_fild03" in read.core.maps()


def test_a_map_that_stands_twice_in_the_list_is_taken_out_twice(tmp_path: Path):
    root = written(tree(tmp_path, maps_athena="".join(f"map: {name}\n" for name in (*MAPS, "moc_fild01"))))

    assert open_(found(root)) == []
    assert (root / CORE_CONF).read_text().count("delmap: moc_fild01\n") == 2


def test_names_that_are_no_maps_here_are_named(tmp_path: Path):
    eligible = {**NO_MAPS, "field": ("moc_fild01", "gef_fild06", "other_housing", "abc*")}
    wanted = settings(maps={"eligible": eligible})
    findings = found(written(tree(tmp_path), wanted), wanted)

    said = [finding for finding in findings if finding.severity == "should"]
    assert [finding.found for finding in said] == ["gef_fild06", "other_housing, abc*"]
    assert "does not load" in said[0].why
    assert "no map of this rAthena" in said[1].why


def test_names_of_the_shipped_list_that_are_no_maps_here_are_nothing_to_mend(tmp_path: Path):
    wanted = settings(maps={"eligible": {}})
    findings = found(written(tree(tmp_path), wanted), wanted)

    assert open_(findings) == []
    assert "job_quest_room, test_room" in of(findings, "maps", "maps.eligible (as shipped)").found


def test_a_game_without_a_map_for_hosts_is_said(tmp_path: Path):
    wanted = settings(maps={"never": ("*",)})

    assert ("maps", "maps.eligible") in open_(found(written(tree(tmp_path), wanted), wanted), "must")


def test_another_index_may_name_more_maps(tmp_path: Path):
    root = tree(tmp_path, maps_athena="map: moc_fild01\nmap: pay_new01\n")
    put(root, "db/import/map_index.txt", "pay_new01 1300\n")

    assert Tree.read(root).game == ("moc_fild01", "pay_new01")


def test_no_password_is_ever_shown(tmp_path: Path):
    root = tree(tmp_path, char_conf="userid: inter\npasswd: hidden8\n")

    shown = str(found(root)) + "".join(file.wanted for file in ours(Tree.read(root), settings()))

    assert "secret7" not in shown
    assert "hidden8" not in shown


def test_imports_of_nothing_are_found_once(tmp_path: Path):
    findings = found(written(tree(tmp_path, map_conf="", char_conf="userid: x\n")))

    assert [finding.file for finding in findings if finding.key == "import"] == ["conf/map_athena.conf:6"]


def test_a_tree_without_a_char_server_says_where_to_look(tmp_path: Path):
    root = written(tree(tmp_path, char_athena="", char_conf=""))

    assert open_(found(root)) == [("char-server", "its conf")]


def test_conf_alone_will_do(tmp_path: Path):
    root = written(tree(tmp_path / "server"))

    assert open_(found(root / "conf")) == []
