"""What stands between an operator's rAthena and Kafra is found, named with its file, and put right in files of our own."""

from pathlib import Path

import pytest
from rathena_tree import HOSTABLE, MAPS, NO_MAPS, put, settings, tree, written

from libs.config import Settings
from services.ops.rathena.check import check
from services.ops.rathena.finding import Finding
from services.ops.rathena.ours import ours
from services.ops.rathena.tree import CORE_CONF, FALLBACK_CONF, Tree


def found(root: Path, wanted: Settings | None = None) -> list[Finding]:
    return check(Tree.read(root), wanted or settings())


def of(findings: list[Finding], server: str, key: str) -> Finding:
    (finding,) = [finding for finding in findings if (finding.server, finding.key) == (server, key)]
    return finding


def open_(findings: list[Finding], *severities: str) -> list[tuple[str, str]]:
    return [(finding.server, finding.key) for finding in findings if finding.severity in (severities or ("must", "should"))]


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


def test_localhost_is_its_address(tmp_path: Path):
    root = written(tree(tmp_path), settings(vps={"core": "localhost:5121"}))
    put(root, CORE_CONF, (root / CORE_CONF).read_text() + "char_ip: localhost\n")

    assert open_(found(root)) == []


def test_a_bridge_that_listens_everywhere_is_reached_on_this_machine(tmp_path: Path):
    wanted = settings(bridge={"map_servers": "0.0.0.0:6122"})
    root = written(tree(tmp_path), wanted)

    assert open_(found(root, wanted)) == []
    assert Tree.read(root).core.text("char_ip") == "127.0.0.1"


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


@pytest.mark.parametrize(
    ("groups", "key"),
    [
        ({"vps": {"fallback": "127.0.0.1:5121"}}, "vps.core"),
        ({"relay": {"public": "127.0.0.1:5122"}}, "relay.public"),
        ({"vps": {"core": "play.example.org:5121"}}, "vps.core"),
        ({"relay": {"public": "203.0.113.5:5120", "listen": "0.0.0.0:5121"}}, "relay.listen"),
        ({"relay": {"public": "203.0.113.5:5120", "hosts": "0.0.0.0:5120"}}, "relay.hosts"),
    ],
)
def test_addresses_nobody_can_tell_apart_or_tell_at_all_are_found(
    tmp_path: Path, groups: dict[str, dict[str, object]], key: str
):
    wanted = settings(**groups)

    assert ("kafra", key) in open_(found(written(tree(tmp_path), wanted), wanted), "must")


def test_the_relays_own_address_is_no_map_servers(tmp_path: Path):
    root = written(tree(tmp_path))
    put(root, CORE_CONF, (root / CORE_CONF).read_text() + "map_ip: 203.0.113.5\nmap_port: 5120\n")

    assert "the relay's public address" in of(found(root), "core", "map_ip").why


def test_a_relay_on_loopback_is_for_a_lab(tmp_path: Path):
    wanted = settings(relay={"public": "127.0.0.1:5120"})

    assert open_(found(written(tree(tmp_path), wanted), wanted)) == [("kafra", "relay.public")]


@pytest.mark.parametrize(
    ("char", "key", "severity"),
    [
        ("userid: x\n", "userid", "must"),
        ("passwd: x\n", "passwd", "must"),
        ("char_port: 6199\n", "char_port", "must"),
        ("bind_ip: 10.0.0.9\n", "bind_ip", "must"),
    ],
)
def test_a_char_server_the_bridge_would_not_get_into_is_found(tmp_path: Path, char: str, key: str, severity: str):
    findings = found(written(tree(tmp_path, char_conf="userid: inter\npasswd: secret7\n" + char)))

    assert open_(findings) == [("char-server", key)]
    assert of(findings, "char-server", key).severity == severity


def test_the_default_login_is_everybodys(tmp_path: Path):
    wanted = settings(bridge={"userid": "s1", "passwd": "p1"})
    root = written(tree(tmp_path, char_conf="x: 1", map_conf="x: 1"), wanted)

    assert open_(found(root, wanted)) == [("char-server", "userid, passwd")]


def test_no_password_is_ever_shown(tmp_path: Path):
    root = tree(tmp_path, char_conf="userid: inter\npasswd: hidden8\n")

    shown = str(found(root)) + "".join(file.wanted for file in ours(Tree.read(root), settings()))

    assert "secret7" not in shown
    assert "hidden8" not in shown


def test_clients_the_char_server_sends_where_no_relay_listens_are_found(tmp_path: Path):
    wanted = settings(relay={"public": "203.0.113.5:5120", "listen": "203.0.113.5:5120"})
    findings = found(written(tree(tmp_path), wanted), wanted)

    assert open_(findings) == [("char-server", "subnet 127.0.0.0/255.0.0.0")]
    assert of(findings, *open_(findings)[0]).found == "told 127.0.0.1:5120"
    assert open_(found(tmp_path)) == [], "a relay that listens everywhere is reached there as well"


def test_imports_of_nothing_are_found_once(tmp_path: Path):
    findings = found(written(tree(tmp_path, map_conf="", char_conf="userid: x\n")))

    assert [finding.file for finding in findings if finding.key == "import"] == ["conf/map_athena.conf:6"]


def test_a_tree_without_a_char_server_says_where_to_look(tmp_path: Path):
    root = written(tree(tmp_path, char_athena="", char_conf=""))

    assert open_(found(root)) == [("char-server", "its conf")]


def test_conf_alone_will_do(tmp_path: Path):
    root = written(tree(tmp_path / "server"))

    assert open_(found(root / "conf")) == []


# -- all players come from one address --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        "x: 1",
        "allow: 10.0.0.1",
        "allow: 127.0.0.1\ndeny: 127.0.0.0/8",
        "order: mutual-failure\nallow: 127.0.0.1\ndeny: all",
        "order: allow,deny\ndeny: 127.0.0.1",
    ],
)
def test_map_servers_that_take_a_few_players_at_once_for_an_attack_are_found(tmp_path: Path, rules: str):
    findings = found(written(tree(tmp_path, packet_conf=rules)))

    assert open_(findings) == [("both", "enable_ip_rules")]
    finding = of(findings, "both", "enable_ip_rules")
    assert (finding.severity, finding.wanted, finding.file) == ("must", "allow: 127.0.0.1", "conf/import/packet_conf.txt")


@pytest.mark.parametrize(
    "rules",
    [
        "enable_ip_rules: no",
        "allow: all",
        "allow: 127.0.0.0/8",
        "allow: 127.0.0.0/255.0.0.0",
        "order: allow,deny\nallow: 127.0.0.1\ndeny: all",
        "order: mutual-failure\nallow: 127.0.0.1",
    ],
)
def test_whoever_lets_the_relay_in_as_often_as_it_comes_is_fine(tmp_path: Path, rules: str):
    assert open_(found(written(tree(tmp_path, packet_conf=rules)))) == []


def test_rules_are_on_where_nothing_is_said(tmp_path: Path):
    assert ("both", "enable_ip_rules") in open_(found(written(tree(tmp_path, packet_athena="", packet_conf=""))), "must")


def test_a_relay_elsewhere_is_let_in_by_its_own_address(tmp_path: Path):
    wanted = settings(vps={"core": "10.0.0.7:5121", "fallback": "10.0.0.7:5122"})
    root = written(tree(tmp_path, packet_conf="allow: 203.0.113.5"), wanted)

    assert open_(found(root, wanted)) == []
    put(root, "conf/import/packet_conf.txt", "allow: 127.0.0.1\n")
    assert of(found(root, wanted), "both", "enable_ip_rules").wanted == "allow: 10.0.0.7"
