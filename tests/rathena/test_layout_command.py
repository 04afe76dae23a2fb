"""kafra rathena layout on a program whose structs are not those Kafra ships."""

import json
from pathlib import Path

from test_elf import built, needs_gcc
from typer.testing import CliRunner

from libs.rathena.layout import Layout
from services.ops.cli import app


@needs_gcc
def test_another_build_is_to_be_set_and_its_layout_written(tmp_path: Path):
    program, wanted = built(tmp_path, "-g"), tmp_path / "mine.json"

    said = CliRunner().invoke(app, ["rathena", "layout", str(program)])
    told = CliRunner().invoke(app, ["rathena", "layout", str(program), "--out", str(wanted), "--name", "mine", "--json"])

    assert (said.exit_code, told.exit_code) == (0, 0)
    assert "Write it with --out FILE, and set bridge.layout" in said.output
    row = next(row for row in json.loads(told.stdout)["structs"] if row["struct"] == "mmo_charstatus")
    layout = Layout.from_json(wanted.read_bytes())
    assert (layout.name, layout.size("mmo_charstatus")) == ("mine", row["here"])
    assert (row["shipped"], row["fields"]) == (8856, "differ")


@needs_gcc
def test_a_stripped_program_is_told_how_to_be_built(tmp_path: Path):
    ended = CliRunner().invoke(app, ["rathena", "layout", str(built(tmp_path, "-s"))])

    assert ended.exit_code == 1
    assert "Build rAthena with `-g`" in " ".join(ended.output.split())
