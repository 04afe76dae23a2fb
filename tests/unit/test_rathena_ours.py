"""Our files in an rAthena tree, and the commands that write them and make a layout: words, JSON, exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from rathena_tree import config_file, put, settings, tree, written
from typer.testing import CliRunner

from libs.rathena.conf import BadConf
from libs.rathena.layout import shipped
from services.ops.cli import app
from services.ops.commands import rathena
from services.ops.rathena.check import check
from services.ops.rathena.ours import MARK, foreign, ours
from services.ops.rathena.tree import CORE_CONF, FALLBACK_CONF, OUR_BATTLE_CONF, NoTree, Tree


def kafra(*words: str | Path) -> Result:
    """The end of a command; a stack trace is no end."""
    ended = CliRunner().invoke(app, ["rathena", *map(str, words)])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended


# -- our files --------------------------------------------------------------------------------------------------------------


def test_only_our_files_are_written(tmp_path: Path):
    root = tree(tmp_path)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    written(root)

    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {str(path.relative_to(root)) for path in after.keys() - before.keys()} == {CORE_CONF, FALLBACK_CONF, OUR_BATTLE_CONF}
    assert {path: after[path] for path in before} == before
    assert all((root / name).read_text().startswith(MARK) for name in (CORE_CONF, FALLBACK_CONF, OUR_BATTLE_CONF))


def test_a_changed_configuration_shows_as_a_difference(tmp_path: Path):
    root = written(tree(tmp_path))

    core, fallback, battle = ours(Tree.read(root), settings(vps={"core": "127.0.0.1:5555"}))

    assert (core.state, fallback.state, battle.state) == ("changed", "same", "same")
    assert "-map_port: 5121\n+map_port: 5555\n" in core.diff()
    assert fallback.diff() == ""


def test_a_file_of_that_name_which_is_not_ours_is_found(tmp_path: Path):
    put(tree(tmp_path), CORE_CONF, "map_port: 1\n")

    files = ours(Tree.read(tmp_path), settings())

    assert [(finding.severity, finding.file) for finding in foreign(files)] == [("must", CORE_CONF)]


# -- what is no tree --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_directory_without_rathena_is_refused(tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()

    with pytest.raises(NoTree, match=name):
        Tree.read(tmp_path / name)


def test_files_that_import_one_another_are_refused(tmp_path: Path):
    with pytest.raises(BadConf, match=r"conf/import/map_conf\.txt: imports conf/map_athena\.conf, which led to it"):
        Tree.read(tree(tmp_path, map_conf="import: conf/map_athena.conf\n"))


def test_names_in_any_encoding_are_read(tmp_path: Path):
    root = tree(tmp_path, map_conf="userid: inter\npasswd: secret7\nimport: conf/import/caf\xe9.txt\nserver: \xff\xfe\n")

    findings = check(Tree.read(written(root)), settings())
    assert [finding.found for finding in findings if finding.key == "import"] == ["conf/import/caf\xe9.txt"]


# -- kafra rathena check ----------------------------------------------------------------------------------------------------


def test_a_stock_tree_is_a_finding_and_nothing_is_written(tmp_path: Path):
    root, config = tree(tmp_path / "server"), config_file(tmp_path)

    ended = kafra("check", root, "--config", config)

    assert ended.exit_code == 1
    assert "6 must" in ended.output
    assert f"\n{CORE_CONF}\n" in ended.output, "the file to set it in"
    assert f"+++ {FALLBACK_CONF}" in ended.output, "what --write would change"
    assert not (root / CORE_CONF).exists()


def test_what_write_puts_right_is_told_from_what_is_the_operators(tmp_path: Path):
    root, config = (
        tree(tmp_path / "server", char_conf="userid: inter\npasswd: secret7\nchar_port: 6199\n"),
        config_file(tmp_path),
    )

    ended = kafra("check", root, "--config", config)
    kafra("check", root, "--config", config, "--write")
    after = kafra("check", root, "--config", config)

    his, ours_ = ended.output.split("--write puts this right:")
    assert "must: char-server char_port" in his
    assert f"\n{config}\n" in his, "his own file, by the name he gave"
    assert CORE_CONF not in his.rpartition("found")[2]
    assert "must: fallback itself" in ours_
    assert "7 must, " in ended.output
    assert "--write puts 6 must " in ended.output
    assert "1 must, " in after.output
    assert "--write puts" not in after.output


def test_a_strangers_file_is_nothing_that_write_puts_right(tmp_path: Path):
    root, config = tree(tmp_path / "server"), config_file(tmp_path)
    put(root, FALLBACK_CONF, "map_port: 1\n")

    assert "--write puts" not in kafra("check", root, "--config", config).output


def test_write_writes_once_and_all_is_well(tmp_path: Path):
    root, config = tree(tmp_path / "server"), config_file(tmp_path)

    first, second = kafra("check", root, "--config", config, "--write"), kafra("check", root, "--config", config, "--write")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "0 must, 0 should" in first.output
    assert first.output.count("written: ") == 3
    assert "written: " not in second.output
    assert f"./map-server --map-config {CORE_CONF} --battle-config {OUR_BATTLE_CONF}" in second.output


def test_a_strangers_file_stays_and_nothing_is_written(tmp_path: Path):
    root, config = tree(tmp_path / "server"), config_file(tmp_path)
    stranger = put(root, FALLBACK_CONF, "map_port: 1\n")

    ended = kafra("check", root, "--config", config, "--write")

    assert ended.exit_code == 1
    assert "rename it" in ended.output
    assert stranger.read_text() == "map_port: 1\n"
    assert not (root / CORE_CONF).exists()


def test_json_says_the_same(tmp_path: Path):
    root, config = tree(tmp_path / "server"), config_file(tmp_path)

    before = json.loads(kafra("check", root, "--config", config, "--json").stdout)
    after = json.loads(kafra("check", root, "--config", config, "--write", "--json").stdout)

    assert (before["ok"], after["ok"]) == (False, True)
    assert {file["state"] for file in before["files"]} == {"new"}
    assert all(file["written"] for file in after["files"])
    assert {"severity", "server", "key", "found", "wanted", "file", "why", "by_write"} == before["findings"][0].keys()
    assert "secret7" not in json.dumps([before, after])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"map_conf": "import: conf/import/map_conf.txt\n"}, "imports conf/import/map_conf.txt, which led to it"),
        ({"map_conf": f"import: conf/{'x' * 300}\n"}, "File name too long"),
        ({"map_conf": "x: 1\n" * 220_000}, "conf/import/map_conf.txt: larger than"),
        ({"map_athena": ""}, "no rAthena"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, changed: dict[str, str], said: str):
    ended = kafra("check", tree(tmp_path, **changed))

    assert (ended.exit_code, said in ended.output) == (1, True), ended.output


def test_a_missing_directory_is_a_sentence(tmp_path: Path):
    ended = kafra("check", tmp_path / "nowhere")

    assert ended.exit_code == 1
    assert "no such directory" in ended.output


# -- kafra rathena layout ---------------------------------------------------------------------------------------------------


def test_a_build_as_shipped_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rathena, "layout_of", lambda *_, **__: shipped())
    binary = put(tmp_path, "map-server", "any")

    said, told = kafra("layout", binary), kafra("layout", binary, "--json")

    assert (said.exit_code, told.exit_code) == (0, 0)
    assert "Same as shipped: nothing to set." in said.output
    assert json.loads(told.stdout)["same_as_shipped"] is True


@pytest.mark.parametrize(("content", "said"), [("#!/bin/sh", "no ELF file"), (None, "no such file")])
def test_what_is_no_map_server_is_a_sentence(tmp_path: Path, content: str | None, said: str):
    binary = tmp_path / "map-server"
    if content:
        put(tmp_path, "map-server", content)

    ended = kafra("layout", binary)

    assert (ended.exit_code, said in ended.output) == (1, True), ended.output
