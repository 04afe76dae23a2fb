"""rAthena's configuration files, read as its servers read them."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.rathena.conf import BadConf, Conf, Missing, Subnet, ipv4, map_index, number, read_conf, subnets, switch

LOCALHOST = 0x7F000001


def conf(text: str, **others: str) -> Conf:
    """others: file names without their .conf."""
    files = {f"{name}.conf": content.encode("latin-1") for name, content in {"a": text, **others}.items()}
    return read_conf("a.conf", files.get)


def test_the_last_line_of_a_key_counts():
    read = conf("map_port: 5121\nMAP_PORT:  6000 \r\n")

    setting = read.last("map_port")
    assert setting is not None
    assert (setting.value, setting.file, setting.line) == ("6000", "a.conf", 2)


def test_comments_and_lines_without_a_value_say_nothing():
    read = conf("// map_port: 1\nmap_ip: 10.0.0.1 // ours\nchar_ip:\nnothing here\n: x\n\n//\n")

    assert [(setting.key, setting.value) for setting in read.settings] == [("map_ip", "10.0.0.1")]


def test_a_key_with_a_blank_before_it_is_another_key_as_in_the_server():
    assert conf(" map_port: 1").last("map_port") is None


def test_a_value_ends_at_a_tab():
    assert conf("map_port: 1\t2").text("map_port") == "1"


def test_an_import_stands_where_its_lines_would():
    read = conf("x: 1\nimport: b.conf\nz: 1\n", b="x: 2\nz: 2\n")

    assert (read.text("x"), read.text("z")) == ("2", "1")
    assert read.files == ("a.conf", "b.conf")


def test_what_is_imported_and_not_there_is_remembered_and_the_rest_read():
    read = conf("import: nowhere.conf\nx: 1\n")

    assert read.missing == (Missing("nowhere.conf", "a.conf", 1),)
    assert read.text("x") == "1"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"text": "import: a.conf"}, "a.conf: imports a.conf, which led to it: a.conf -> a.conf"),
        (
            {"text": "import: b.conf", "b": "import: a.conf"},
            "b.conf: imports a.conf, which led to it: a.conf -> b.conf",
        ),
        ({"text": "import: b.conf\n" * 300, "b": "x: 1"}, "too many imports"),
        ({"text": "x: 1\n" * 210_000}, "a.conf: larger than"),
    ],
)
def test_files_that_never_end_are_refused(files: dict[str, str], said: str):
    with pytest.raises(BadConf) as refused:
        conf(**files)

    assert said in str(refused.value)


def test_imports_deep_within_one_another_are_refused():
    with pytest.raises(BadConf, match="too many imports"):
        read_conf("0", lambda name: f"import: {int(name) + 1}".encode())


def test_a_first_file_that_is_not_there_is_refused():
    with pytest.raises(BadConf, match=r"a\.conf: not there"):
        read_conf("a.conf", lambda _: None)


def test_maps_are_added_and_taken_out_in_order():
    read = conf("map: prontera\nmap: geffen.gat\nimport: b.conf\ndelmap: geffen\nmap: payon\n", b="map: geffen\nmap: izlude\n")

    assert read.maps() == ("prontera", "geffen", "izlude", "payon")


@pytest.mark.parametrize("word", ["map: clear", "delmap: ALL"])
def test_all_maps_can_be_taken_out(word: str):
    assert conf(f"map: prontera\n{word}\nmap: payon\n").maps() == ("payon",)


def test_bytes_of_any_encoding_are_read():
    read = read_conf("a", {"a": b"\xef\xbb\xbfx: 1\nserver_name: Caf\xe9\ny: \xff\n"}.get)

    assert (read.text("server_name"), read.text("y")) == ("Caf\xe9", "\xff")
    assert read.last("x") is None, "a byte order mark belongs to the first key, as in the server"


def test_numbers_and_switches_are_read_as_in_c():
    assert [number(text) for text in ("5", " 12x", "-3", "x", "")] == [5, 12, -3, 0, 0]
    assert [switch(text) for text in ("on", "Yes", "1", "off", "no", "0", "x")] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_the_map_index_has_a_name_a_line():
    assert map_index(b"// prontera\nalb_ship 1\n\nalberta\r\ngeffen\t9\n") == {"alb_ship", "alberta", "geffen"}


def test_subnets_are_those_the_char_server_accepts():
    lines = b"// subnet: 0.0.0.0:1.1.1.1:1.1.1.1\nsubnet: 255.0.0.0:127.0.0.1:127.0.0.1\n"
    lines += b"subnet: 255.0.0.0:10.0.0.1:127.0.0.1\nsubnet: x\n"

    assert subnets(lines) == (Subnet(0x7F000000, 0xFF000000, LOCALHOST, 2),)


def test_only_four_numbers_are_an_address():
    assert ipv4("127.0.0.1") == LOCALHOST
    assert [ipv4(text) for text in ("localhost", "1.2.3", "1.2.3.256", "1.2.3.-4", "1.2.3.²", "")] == [None] * 6


TOKENS = ["map: ", "delmap: ", "import: ", "a.conf", "b.conf", "c.conf", "all", "x"]
TOKENS += [":", "//", "\n", "\r", "\t", " ", "\0", "\xe9"]


@given(st.lists(st.sampled_from(TOKENS)).map("".join), st.lists(st.sampled_from(TOKENS)).map("".join))
@example("import: b.conf\n", "import: a.conf\n")
def test_whatever_files_hold_they_are_read_or_refused(one: str, two: str):
    with suppress(BadConf):
        read = conf(one, b=two)
        assert all(setting.key and setting.value for setting in read.settings)
        assert len(read.maps()) <= len(read.settings)


@given(st.binary())
def test_whatever_bytes_there_are_nothing_else_is_raised(data: bytes):
    with suppress(BadConf):
        read_conf("a", {"a": data}.get).maps()
    map_index(data)
    subnets(data)
