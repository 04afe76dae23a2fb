"""A layout out of a program's debug information: the compiler's own word on every offset."""

import io
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.rathena.elf import NoLayout, layout_of
from libs.rathena.layout import Layout
from libs.rathena.structs import as_dict

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="no gcc here to compile the small program")
SOURCE = """
#include <stdio.h>
#include <string.h>
typedef unsigned int t_itemid;
enum kind { KIND_A = 1 };
struct s_point_str { char map[16]; unsigned short x, y; };
#pragma pack(push, 1)
struct item { int id; t_itemid nameid; short amount; t_itemid card[4]; char bound; };
#pragma pack(pop)
struct s_storage {
    _Bool dirty; enum kind type; struct { unsigned get : 1, put : 3; } state; union { struct item a[2], b[3]; } u;
};
struct mmo_charstatus {
    unsigned account_id; char name[24]; long exp; const struct s_point_str last_point; struct mmo_charstatus *next;
    unsigned grid[2][3]; struct { short deep; };
};
struct dragon { int heads; };
int main(void) {
    static struct mmo_charstatus c; static struct s_storage s;
    c.account_id = 2000001; strcpy(c.name, "LabOne"); c.exp = -5; strcpy((char *)c.last_point.map, "geffen");
    c.grid[1][2] = 7; c.deep = 3;
    *(unsigned short *)&c.last_point.y = 42;
    s.dirty = 1; s.type = KIND_A; s.state.put = 5; s.u.b[2].nameid = 909; s.u.b[2].card[3] = 4001; s.u.b[2].bound = 'x';
    fwrite(&c, sizeof c, 1, stdout); fwrite(&s, sizeof s, 1, stdout);
    return 0;
}
"""


def built(folder: Path, *options: str, source: str = SOURCE) -> Path:
    assert GCC is not None
    (folder / "small.c").write_text(source)
    command = [GCC, *options, "-o", "small", "small.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
    return folder / "small"


def layout_in(program: Path) -> Layout:
    with program.open("rb") as binary:
        return layout_of(binary, name="small", packetver=20211103)


@needs_gcc
@pytest.mark.parametrize("options", [("-g",), ("-gdwarf-3", "-gstrict-dwarf"), ("-g", "-gz"), ("-g", "-O2")])
def test_the_layout_reads_what_the_program_writes(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = built(tmp_path, *options)
    said = subprocess.run([program], check=True, timeout=60, capture_output=True).stdout

    layout = layout_in(program)

    size = layout.structs["mmo_charstatus"].size
    status, storage = as_dict(layout, "mmo_charstatus", said[:size]), as_dict(layout, "s_storage", said[size:])
    assert (status["account_id"], status["name"], status["exp"]) == (2_000_001, b"LabOne".ljust(24, b"\0"), -5)
    assert status["last_point"] == {"map": b"geffen".ljust(16, b"\0"), "x": 0, "y": 42}
    assert (status["next"], status["grid"], status["deep"]) == (bytes(8), [0, 0, 0, 0, 0, 7], 3)
    assert (storage["dirty"], storage["type"], storage["state"]) == (1, 1, {"get": 0, "put": 5})
    last = storage["u"]["b"][2]
    assert (last["nameid"], last["card"], last["bound"]) == (909, [0, 0, 0, 4001], ord("x"))
    assert layout.structs["item"].size == 27
    assert "dragon" not in layout.structs
    assert Layout.from_json(layout.to_json()).structs == layout.structs


@needs_gcc
def test_without_debug_information_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NoLayout, match="Build rAthena with `-g`"):
        layout_in(built(tmp_path, "-s"))


@needs_gcc
def test_another_program_is_told_apart(tmp_path: Path) -> None:
    other = "struct item { int id; } one; int main(void) { return one.id; }"
    with pytest.raises(NoLayout, match="mmo_charstatus, s_storage not in its debug information: is this a map-server"):
        layout_in(built(tmp_path, "-g", source=other))


@pytest.mark.parametrize("data", [b"", b"MZ\x90\0", b"\x7fELF", b"#!/bin/sh\n"])
def test_what_is_no_program_is_refused(data: bytes) -> None:
    with pytest.raises(NoLayout, match=r"no ELF file|damaged"):
        layout_of(io.BytesIO(data), name="x")


@needs_gcc
def test_a_damaged_file_raises_nothing_else(tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = built(tmp_path_factory.mktemp("elf"), "-g").read_bytes()

    @given(at=st.integers(0, len(whole) - 9), word=st.integers(0, 2**64 - 1), cut=st.integers(0, len(whole)))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def damage(at: int, word: int, cut: int) -> None:
        damaged = bytearray(whole[: max(cut, at + 8)])
        struct.pack_into("<Q", damaged, at, word)
        with suppress(NoLayout):
            layout_of(io.BytesIO(damaged), name="x")

    damage()
