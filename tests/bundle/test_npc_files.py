"""rAthena's script files and map cache, split and cut down."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rathena.mapcache import BadMapCache, map_names, only
from libs.rathena.npc import BadScript, Definition, definitions, yaml_blocks, yaml_field

SCRIPT = """moc_fild01,10,20,4	script	Guide::guide#1	4_M_01,{
	// a } in a comment, and a "
	/* and { here
	*/
	mes "a } in a string, and \\" a quote";
	if (.x) { donpcevent "Other::OnGo"; }
	end;
OnPCLoginEvent:
	end;
}
"""


def only_one(text: str) -> Definition:
    (found,) = definitions(text.encode("latin-1"))
    return found


def test_a_script_ends_where_its_first_bracket_closes():
    first, second = definitions((SCRIPT + "moc_fild01,0,0\tmonster\tPoring\t1002,70\n").encode())

    assert first.text == SCRIPT.rstrip()
    assert (first.kind, first.map, first.name) == ("placed", "moc_fild01", "guide#1")
    assert {"Other::OnGo", "Other"} <= first.words
    assert first.is_for_players
    assert (second.kind, second.map, second.name, second.text) == (
        "placed", "moc_fild01", "", "moc_fild01,0,0\tmonster\tPoring\t1002,70",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "map_", "name", "source"),
    [
        ("function\tscript\tF_Go\t{\n}", "function", "", "F_Go", ""),
        ("-\tscript\tClock\t-1,{\nOnClock0000: end;\n}", "floating", "", "Clock", ""),
        ("-\tshop\tTool\t-1,501:50", "floating", "", "Tool", ""),
        ("geffen,1,2,3\tduplicate(Clock)\tA#b\t100", "placed", "geffen", "A#b", "Clock"),
        ("geffen,1,2,3\twarp\tgef1\t1,1,gef_fild07,5,6", "placed", "geffen", "", ""),
        ("geffen\tmapflag\tnosave\tSavePoint", "placed", "geffen", "", ""),
        ("geffen\tmapflag\tpvp", "placed", "geffen", "", ""),
        ("1@orcs,0,0\tmonster\tOrc\t1023,3", "placed", "1@orcs", "", ""),
    ],
)
def test_what_a_file_defines(text, kind, map_, name, source):
    found = only_one(f"// before\n\n{text}\n/* behind */\n")

    assert (found.kind, found.map, found.name, found.source) == (kind, map_, name, source)
    assert found.text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\xef\xbb\xbf-\tscript\tA\t-1,{}\n", "byte order mark"),
        ("no definition at all\n", "line 1"),
        ("\n\n-\tscript\tA\t-1\n{\n}\n", "line 3"),
        ("-\tscript\tA\t-1,{\n", "does not end"),
        ('-\tscript\tA\t-1,{\nmes "open\n";\n}\n', "line 2: a string"),
    ],
)
def test_where_the_server_stops_reading_is_said(text, said):
    with pytest.raises(BadScript, match=said):
        list(definitions(text.encode("latin-1")))


def test_what_stands_before_a_mistake_counts():
    assert [found.map for found in _until_wrong(b"geffen\tmapflag\tpvp\nrubbish\n")] == ["geffen"]


def _until_wrong(data: bytes) -> list[Definition]:
    found: list[Definition] = []
    with suppress(BadScript):
        for one in definitions(data):
            found.append(one)
    return found


def test_a_backslash_that_is_half_of_a_letter_escapes_nothing():
    found = only_one('-\tscript\tA\t-1,{ mes "\xa4\\"; }')

    assert found.text.endswith("}")


CODE = st.lists(
    st.sampled_from(['mes "a";', 'mes "}{";', 'mes "\\"";', "// }\n", "/* } */", "if (1) { end; }", ".x = 1/2;", "\n", "\t"])
).map("".join)
LINES = st.one_of(
    st.just("pay_fild03,0,0\tmonster\tWolf\t1013,70"),
    CODE.map(lambda code: f"-\tscript\tA\t-1,{{{code}\n}}"),
    CODE.map(lambda code: f"function\tscript\tF_A\t{{{code}\n}}"),
    CODE.map(lambda code: f"payon,1,1,1\tscript\tB#1\t-1,2,2,{{{code}\n}}"),
)


@given(st.lists(LINES, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n// x\n", "\n/* { */\n"]))
def test_whatever_scripts_hold_they_are_found_whole_and_in_order(texts, between):
    data = between.join([*texts, ""]).encode()

    assert [found.text.rstrip("\r") for found in definitions(data)] == texts


@given(st.binary(max_size=300))
def test_rubbish_is_split_or_said(data):
    _until_wrong(data)


BARTERS = """Header:
  Type: BARTER_DB
Body:
# note
  - Name: one
    Map: geffen
    Items:
      - Index: 0
        Map: x
  - Name: "two"
    Items:
      - Index: 0
Footer:
  Imports:
  - Path: npc/b.yml
"""


def test_a_yaml_list_is_split_into_its_elements():
    before, blocks, after = yaml_blocks(BARTERS)

    assert before + "".join(blocks) + after == BARTERS
    assert [(yaml_field(block, "Name"), yaml_field(block, "Map")) for block in blocks] == [("one", "geffen"), ("two", "")]
    assert after.startswith("Footer:")


@given(st.text(st.sampled_from("Body:\n - #NameF"), max_size=60))
def test_no_letter_of_a_yaml_text_is_lost(text):
    before, blocks, after = yaml_blocks(text)

    assert before + "".join(blocks) + after == text


def cache(*names: str) -> bytes:
    maps = [(name, zlib.compress(name.encode() * 9)) for name in names]
    entries = b"".join(struct.pack("<12shhi", name.encode(), 3, 3, len(cells)) + cells for name, cells in maps)
    return struct.pack("<IHxx", 8 + len(entries), len(names)) + entries


def test_a_map_cache_is_cut_down_to_some_maps():
    whole = cache("geffen", "pay_fild03", "moc_fild01")

    assert map_names(whole) == ("geffen", "pay_fild03", "moc_fild01")
    assert only(whole, frozenset({"pay_fild03", "other"})) == cache("pay_fild03")
    assert only(whole, frozenset(map_names(whole))) == whole


@given(st.integers(0, 200))
def test_a_map_cache_that_ends_too_early_is_said(length):
    whole = cache("geffen", "pay_fild03", "moc_fild01")

    if length < len(whole):
        with pytest.raises(BadMapCache):
            map_names(whole[:length])


@given(st.binary(max_size=100))
def test_rubbish_is_a_map_cache_or_said(data):
    with suppress(BadMapCache):
        map_names(data)
