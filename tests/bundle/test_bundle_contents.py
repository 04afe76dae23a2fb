"""Which files and scripts of an operator's tree hosts get, and what never leaves it."""

import shutil
import sys
from pathlib import Path

import pytest
from test_npc_files import cache

from libs.config import Settings
from libs.rathena.conf import read_conf
from services.ops.bundle.contents import HOST_CONF, CannotBundle, Contents, contents
from services.ops.bundle.programs import mode_of, platform_of, programs
from services.ops.bundle.pruning import pruned, pruned_barters, script_files
from services.ops.rathena.tree import Tree

HOSTED = frozenset({"moc_fild01", "pay_fild03"})
WORLD = frozenset({*HOSTED, "prontera", "geffen"})
INDEX = "".join(f"{name}\t{at}\n" for at, name in enumerate(sorted(WORLD), 1))
FILES = {
    "conf/map_athena.conf": "userid: inter\npasswd: hunter22\nimport: conf/maps_athena.conf\nnpc: npc/custom/mine.txt\n",
    "conf/maps_athena.conf": "".join(f"map: {name}\n" for name in sorted(WORLD)),
    "conf/battle_athena.conf": "import: conf/battle/exp.conf\nimport: conf/import/battle_conf.txt\n",
    "conf/battle/exp.conf": "base_exp_rate: 300\n",
    "conf/inter_athena.conf": "map_server_pw: db-secret\nuse_sql_db: no\nimport: conf/import/inter_conf.txt\n",
    "conf/import/inter_conf.txt": "log_db_pw: other-secret\n",
    "conf/char_athena.conf": "userid: inter\npasswd: hunter22\n",
    "conf/packet_athena.conf": "allow: 203.0.113.9\n",
    "conf/log_athena.conf": "enable_logs: 0xFFFFFFFF\n",
    "conf/script_athena.conf": "check_cmdcount: 1\n",
    "conf/motd.txt": "Welcome\n",
    "conf/channels.conf": "channel_config: {}\n",
    "conf/groups.yml": "Header:\n  Type: PLAYER_GROUP_DB\nFooter:\n  Imports:\n  - Path: conf/import/groups.yml\n",
    "conf/import/groups.yml": "Header:\n# my admins\n  Type: PLAYER_GROUP_DB\n",
    "conf/msg_conf/map_msg.conf": "0: Welcome\n",
    "conf/msg_conf/login_msg.conf": "0: Hello\n",
    "conf/login_athena.conf": "userid: inter\n",
    "db/map_index.txt": INDEX,
    "db/mob_db.yml": "Footer:\n  Imports:\n  - Path: db/re/mob_db.yml\n    Mode: Renewal\n"
    "  - Path: db/pre-re/mob_db.yml\n    Mode: Prerenewal\n  - Path: db/import/mob_db.yml\n",
    "db/re/mob_db.yml": "Body:\n  - Id: 1002\n    Script: |\n      #COUNT += 1;\n",
    "db/pre-re/mob_db.yml": "Body:\n  - Id: 9\n",
    "db/import/mob_db.yml": "# a secret event next week\n",
    "db/import-tmpl/mob_db.yml": "# template\n",
    "npc/barters.yml": "Header:\n  Type: BARTER_DB\nBody:\n  - Name: far\n    Map: geffen\n"
    "  - Name: near\n    Map: moc_fild01\n  - Name: asked\n",
    "npc/re/scripts_main.conf": "npc: npc/fields.txt\nnpc: npc/towns.txt\nimport: npc/more.conf\ndelnpc: npc/off.txt\n",
    "npc/more.conf": "npc: npc/off.txt\nnpc: npc/gone.txt\n",
    "npc/off.txt": "moc_fild01\tmapflag\tpvp\n",
    "npc/fields.txt": "moc_fild01,1,1,1\tscript\tTrader\t100,{\n callshop \"asked\"; callfunc \"F_Need\";\n}\n"
    "pay_fild03,0,0\tmonster\tWolf\t1013,70\ngeffen,0,0\tmonster\tPoring\t1002,1\n",
    "npc/towns.txt": "prontera,1,1,1\tscript\tKing\t100,{\n mes \"the secret of prontera\";\n}\n",
    "npc/custom/mine.txt": "function\tscript\tF_Need\t{\n return;\n}\n",
}  # fmt: skip
SECRETS = ("hunter22", "db-secret", "other-secret", "203.0.113.9", "my admins", "event next week", "secret of prontera")
SETTINGS = Settings.model_validate({"maps": {"eligible": {"field": tuple(sorted(HOSTED))}}})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "rathena"
    for name, text in FILES.items():
        put(root, name, text.encode())
    put(root, "db/map_cache.dat", cache(*sorted(WORLD)))
    return root


def put(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def made_of(root: Path, settings: Settings = SETTINGS) -> Contents:
    return contents(Tree.read(root), settings, "re", lambda _: None)


def files_of(root: Path) -> dict[str, bytes]:
    return {content.path: content.data for content in made_of(root).files}


def test_hosts_get_what_their_maps_need_and_no_more(root):
    files = files_of(root)

    assert set(files) == {
        "conf/battle_athena.conf", "conf/battle/exp.conf", "conf/script_athena.conf", "conf/msg_conf/map_msg.conf",
        "conf/groups.yml", "conf/import/groups.yml", "conf/motd.txt", "conf/channels.conf", "conf/import/kafra_battle.conf",
        "conf/inter_athena.conf", "conf/packet_athena.conf", "conf/log_athena.conf", HOST_CONF,
        "db/map_index.txt", "db/mob_db.yml", "db/re/mob_db.yml", "db/import/mob_db.yml", "db/map_cache.dat",
        "npc/re/scripts_main.conf", "npc/fields.txt", "npc/custom/mine.txt", "npc/barters.yml",
    }  # fmt: skip
    assert files["db/map_cache.dat"] == cache(*sorted(HOSTED))


def test_passwords_addresses_comments_and_towns_stay_with_the_operator(root):
    everything = b"\n".join(files_of(root).values())

    for secret in (
        b"hunter22",
        b"db-secret",
        b"other-secret",
        b"203.0.113.9",
        b"my admins",
        b"event next week",
        b"secret of prontera",
    ):
        assert secret not in everything


def test_the_order_of_scripts_is_the_server_s(root):
    assert files_of(root)["npc/re/scripts_main.conf"] == b"npc: npc/custom/mine.txt\nnpc: npc/fields.txt\n"


def test_a_script_keeps_the_definitions_of_hosted_maps(root):
    text = files_of(root)["npc/fields.txt"]

    assert b"Wolf" in text
    assert b"Trader" in text
    assert b"Poring" not in text


def test_what_a_database_says_in_scripts_is_no_comment(root):
    assert files_of(root)["db/re/mob_db.yml"] == FILES["db/re/mob_db.yml"].encode()


def test_a_file_that_is_listed_and_not_there_is_said(root):
    assert "npc/gone.txt: not there" in made_of(root).notes


def test_what_hosts_read_is_what_rathena_reads(root, tmp_path):
    """The conf of the bundle, read as the servers read it."""
    for name, data in files_of(root).items():
        put(tmp_path / "host", name, data)

    host = read_conf(HOST_CONF, lambda name: path.read_bytes() if (path := tmp_path / "host" / name).is_file() else None)
    battle = read_conf("conf/import/kafra_battle.conf", lambda name: files_of(root).get(name))

    assert (host.text("db_path"), host.number("autosave_time", 0)) == ("db", 5)
    assert not {"userid", "passwd", "char_ip", "map_ip", "map"} & {setting.key for setting in host.settings}
    assert (battle.number("prevent_logout", 1), battle.number("base_exp_rate", 0)) == (0, 300)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("conf/inter_athena.conf", "use_sql_db: yes\n", "use_sql_db"),
        ("conf/map_athena.conf", FILES["conf/map_athena.conf"] + "use_grf: yes\n", "use_grf"),
        ("conf/motd.txt", "the password is hunter22\n", "conf/motd.txt holds the value of passwd"),
        ("npc/fields.txt", 'moc_fild01,1,1,1\tscript\tA\t1,{\n query_sql "db-secret";\n}\n', "map_server_pw"),
    ],
)
def test_what_hosts_could_not_do_with_or_must_not_have_is_refused(root, name, text, said):
    put(root, name, text.encode())

    with pytest.raises(CannotBundle, match=said):
        made_of(root)


def test_a_map_that_is_in_no_cache_is_said_and_not_hosted(root):
    put(root, "db/map_cache.dat", cache("moc_fild01"))

    made = made_of(root)

    assert made.maps == ("moc_fild01",)
    assert any("pay_fild03" in note for note in made.notes)


@pytest.mark.parametrize("data", [b"", cache("prontera")], ids=["none", "another"])
def test_without_a_hostable_map_there_is_no_bundle(root, data):
    put(root, "db/map_cache.dat", data)

    with pytest.raises(CannotBundle, match="map_cache"):
        made_of(root)


# Scripts without a map.


def kept(*texts: str) -> str:
    return "".join(data.decode() for data in pruned([("a.txt", "\n".join(texts).encode())], HOSTED, WORLD).files.values())


def floating(name: str, code: str = "end;") -> str:
    return f"-\tscript\t{name}\t-1,{{\n{code}\n}}"


GO, COMMAND = 'donpcevent "X::OnGo";', 'OnInit: bindatcmd "x", "X::OnX";\nwarp "geffen", 1, 1;'
FAR, NEAR, NEXT = "geffen,1,1,1\tduplicate(X)\tB\t1", "moc_fild01,1,1,1\tduplicate(X)\tA\t1", "-\tduplicate(X)\tY\t-1"


@pytest.mark.parametrize(
    ("texts", "stays"),
    [
        pytest.param([floating("X")], True, id="of no map"),
        pytest.param([floating("X", 'mapannounce "prontera", "hi", 0;')], False, id="of another map"),
        pytest.param([floating("X", 'monster "moc_fild01", 1, 1, "a", 1002, 1;')], True, id="of a hosted map"),
        pytest.param([floating("X", 'warp "prontera", "geffen", 1;'), floating("Y", GO)], True, id="named"),
        pytest.param([floating("X", 'OnPCDieEvent:\nwarp "prontera", 1, 1;')], True, id="for players"),
        pytest.param([floating("X", COMMAND)], True, id="a command"),
        pytest.param([floating("X"), FAR], False, id="repeated elsewhere only"),
        pytest.param([floating("X"), NEAR, FAR], True, id="repeated here"),
        pytest.param([floating("X"), NEXT, "moc_fild01,1,1,1\tduplicate(Y)\tA\t1"], True, id="by two steps"),
    ],
)
def test_a_script_without_a_map(texts, stays):
    assert ("\tX\t" in kept(*texts)) is stays


def test_a_function_stays_whoever_calls_it():
    assert "F_A" in kept("function\tscript\tF_A\t{\n return;\n}")


def test_a_script_that_cannot_be_read_is_said_and_what_stood_before_it_stays():
    made = pruned([("a.txt", b"moc_fild01\tmapflag\tpvp\nrubbish\n"), ("b.txt", b"pay_fild03\tmapflag\tpvp\n")], HOSTED, WORLD)

    assert set(made.files) == {"a.txt", "b.txt"}
    assert made.troubles == ["a.txt: line 2: no definition: 'rubbish'"]


def test_barters_of_hosted_maps_and_those_that_scripts_name_stay():
    text = FILES["npc/barters.yml"]

    left = pruned_barters(text, HOSTED, {"asked"})

    assert "near" in left
    assert "asked" in left
    assert "far" not in left
    assert "Body" not in pruned_barters(text, frozenset(), set())


def test_lines_of_npc_and_delnpc_count_in_their_order():
    conf = read_conf("a", {"a": b"npc: x\nnpc: y\nnpc: x\ndelnpc: y\nnpc: z\nnpc: y\n"}.get)
    cleared = read_conf("a", {"a": b"npc: x\ndelnpc: all\nnpc: y\nnpc: clear\nnpc: z\n"}.get)

    assert script_files(conf.settings) == ("x", "z", "y")
    assert script_files(cleared.settings) == ("z",)


# Programs.


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux program is taken apart")
def test_a_program_goes_stripped_with_its_libraries_and_the_tree_stays_as_it_is(tmp_path):
    shutil.copy(Path(sys.executable).resolve(), tmp_path / "map-server")
    before = (tmp_path / "map-server").read_bytes()

    files, _, program = programs(tmp_path, b"{}")

    by_path = {content.path: content for content in files}
    assert (tmp_path / "map-server").read_bytes() == before
    assert by_path["map-server"].mode == 0o755
    assert by_path["map-server"].platform == platform_of(tmp_path / "map-server")
    assert len(program) <= len(before)
    assert by_path["layout.json"].data == b"{}"
    assert not any("libc.so" in path or "ld-linux" in path for path in by_path)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + b"\0" * 60, b"MZ" + b"\0" * 100])
def test_what_no_host_can_run_is_said(tmp_path, data):
    (tmp_path / "map-server").write_bytes(data)

    with pytest.raises(CannotBundle, match="no program for linux-x86_64"):
        programs(tmp_path, None)


def test_a_windows_program_is_known_by_its_head(tmp_path):
    path = tmp_path / "map-server.exe"
    path.write_bytes(b"MZ" + b"\0" * 58 + (64).to_bytes(4, "little") + b"PE\0\0\x64\x86" + b"\0" * 20)

    assert platform_of(path) == "windows-x86_64"


def test_a_tree_that_was_not_built_is_said(tmp_path):
    with pytest.raises(CannotBundle, match="build it first"):
        programs(tmp_path, None)


def test_the_build_names_its_list_of_scripts():
    assert mode_of(b"..npc/re/scripts_main.conf..") == "re"
    assert mode_of(b"..npc/pre-re/scripts_main.conf..") == "pre-re"
    with pytest.raises(CannotBundle):
        mode_of(b"")
