"""What is no configuration at all: a finding with its line, never a stack trace."""

import pytest

from libs.config import ConfigError, Finding, load
from tests.unit.config_findings import NAME, findings


def test_a_missing_comma_does_not_join_two_names(tmp_path):
    assert findings(tmp_path, 'maps: { never = [ "prontera"\n"geffen" ]; };') == [
        f"{NAME}:2: maps.never: a text follows another without a comma"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vps: {\n core = ;\n};", '2: syntax error at ";"'),
        ("vps: {\n core = 1;\n", "2: syntax error: the file ends too early"),
        ("a", "1: syntax error: the file ends too early"),
        ("\n\n};", '3: syntax error at "}"'),
        ("a = 1;\n_b = 2;", '2: syntax error in "_b = 2;"'),
        ("a = 010;", '1: syntax error in "a = 010;"'),
        ('a = "two\nlines";\n\n? = 1;', '4: syntax error in "? = 1;"'),
        ('a = "two\r\nlines";\r\n\r\nb = = 1;', '4: syntax error at "="'),
        ("# one\r? = 1;", '2: syntax error in "? = 1;"'),
        ('a = "open;\nb = 1;', '1: syntax error in "a = "'),
        ('@include "other.conf"', "1: @include is not supported"),
        (b"a = 1;\n\xff", "2: this is not text; allowed: UTF-8"),
        (f"a = {'9' * 5000};", "1: syntax error in "),
        (f"a = 0x{'f' * 5000};", "1: the number is too large; allowed: 64 bits"),
        ("a = " + "(" * 2000, "1: nested too deeply; allowed: 16 levels"),
    ],
)
def test_a_syntax_error_is_a_finding_with_its_line(tmp_path, text, said):
    (line,) = findings(tmp_path, text)

    assert line.startswith(f"{NAME}:{said}")


def test_a_byte_order_mark_is_no_syntax_error(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(b"\xef\xbb\xbffailover: { backup_hosts_count = 3; };")

    assert load(path, {}).failover.backup_hosts_count == 3


def test_a_file_that_is_too_large_is_refused_without_reading_it_all(tmp_path):
    (line,) = findings(tmp_path, b" " * (1 << 20) + b" ")

    assert line == f"{NAME}: the file is too large; allowed: at most 1048576 bytes"


def test_a_missing_file_is_a_finding(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "absent.conf", {})

    assert caught.value.findings == [Finding("absent.conf", None, "", "cannot be read: No such file or directory")]
