"""conf/p2p_map_config.conf: what an operator reads is what the code does."""

import typing
from fnmatch import fnmatchcase

import pytest

from libs.config import SHIPPED, Settings, load
from libs.config.schema import bounds, leaves
from libs.config.text import Path, dotted, read

TEXT = SHIPPED.read_text(encoding="utf-8")
LINES = TEXT.splitlines()
KEYS = [path for path in leaves() if path != ("regions",)]


def default_of(path: Path) -> typing.Any:
    value: typing.Any = Settings()
    for name in path:
        value = getattr(value, str(name))
    return value


def comment_above(line: int) -> str:
    """The comment lines right above line, joined."""
    above = []
    for text in reversed(LINES[: line - 1]):
        if not text.strip().startswith("#"):
            break
        above.append(text.strip().lstrip("# "))
    return " ".join(reversed(above))


@pytest.fixture(scope="module")
def lines() -> dict[Path, int]:
    return read(TEXT.encode(), "shipped").lines


def test_the_shipped_file_has_the_defaults_of_the_code():
    assert load(SHIPPED, {}) == Settings()


@pytest.mark.parametrize("path", KEYS, ids=dotted)
def test_every_key_is_in_the_file_with_a_comment_of_its_own(path, lines):
    assert path in lines, "the key is missing, so its default was compared with itself"
    assert len(comment_above(lines[path])) > 20


@pytest.mark.parametrize("path", KEYS, ids=dotted)
def test_the_comment_names_range_and_default(path, lines):
    comment, field, default = comment_above(lines[path]), leaves()[path], default_of(path)

    match default:
        case bool():
            wanted = f"1 or 0, default {int(default)}."
        case int() | float():
            low, high = bounds(field)
            shown = comment.rpartition("default ")[2].rstrip(".")
            assert float(shown) == default
            wanted = f"{low:.15g} to {high:.15g}, default {shown}."
        case str():
            assert all(f'"{choice}"' in comment for choice in typing.get_args(field.annotation))
            wanted = f'Default "{default}"'
        case _:
            wanted = "Default: "

    assert wanted in comment


def test_regions_are_explained_and_empty(lines):
    comment = comment_above(lines[("regions",)])

    assert 'eu = "203.0.113.5:5121";' in comment
    assert load(SHIPPED, {}).regions == {}


def test_the_examples_of_regions_in_the_comment_are_valid(tmp_path):
    examples = [line.lstrip("# ") for line in LINES if line.startswith("#   ")]
    path = tmp_path / "examples.conf"
    path.write_text("regions: {" + "\n".join(examples) + "};")

    assert load(path, {}).regions == {"eu": "203.0.113.5:5121", "us-east": "198.51.100.7:5121"}


def test_no_eligible_default_is_hit_by_never():
    maps = Settings().maps

    hit = [(name, never) for name in maps.eligible_patterns for never in maps.never if fnmatchcase(name, never)]

    assert hit == []


def test_towns_and_mvp_dungeons_are_never():
    never = Settings().maps.never

    for name in ("prontera", "morocc", "izlude_a", "gl_cas01_", "gl_chyard", "gld_dun01", "beach_dun"):
        assert any(fnmatchcase(name, pattern) for pattern in never), name
    for name in ("prt_fild01", "gl_cas01", "beach_dun2", "moc_pryd01", "izlude_in"):
        assert not any(fnmatchcase(name, pattern) for pattern in never), name
