"""What a statement gets: nothing, in the form its asker expects. Pure.

In: a statement's bytes. Out: `Statement`: its columns (none: it changes, and gets OK), parameters and shape. It is not
understood, only divided into words: the number of columns must be right, or libmariadb refuses to bind them (FACTS section 12).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, pairwise
from typing import Final

COLUMNS_MAX: Final = 512
"""Columns, and parameters, of one statement; the longest seen has 14."""
SHAPE_CHARACTERS: Final = 48
_READING: Final = frozenset({b"select", b"show", b"describe", b"desc", b"explain", b"check"})
_NAMES_TABLE: Final = frozenset({b"from", b"into", b"update", b"table"})
_ENDS_COLUMNS: Final = frozenset({b"from", b"limit", b"union", b";"})
_STARS: Final = {b"db_roulette": 5}
"""Columns of a table that is asked for with *; of an unknown one, 1."""
_TOKEN: Final = re.compile(
    rb"""(?P<space>[\s\0]++|\#[^\n]*+|--[ \t][^\n]*+|/\*(?s:.)*?(?:\*/|\Z))
    |(?P<text>'(?:[^'\\]++|\\(?s:.|\Z)|'')*+(?:'|\Z)|"(?:[^"\\]++|\\(?s:.|\Z)|"")*+(?:"|\Z))
    |(?P<quoted>`[^`]*+(?:`|\Z))
    |(?P<word>[A-Za-z0-9_$.\x80-\xff]++)
    |(?P<sign>(?s:.))""",
    re.VERBOSE,
)
"""Every byte belongs to one token, and none is looked at twice: an unclosed quote takes the rest."""


class TooManyParts(Exception):
    """More columns or parameters than COLUMNS_MAX."""


@dataclass(frozen=True, slots=True)
class Statement:
    """columns: their names. parameters: question marks. shape: verb and table, to be counted by: `select mapreg`."""

    columns: tuple[bytes, ...]
    parameters: int
    shape: str


def read(statement: bytes) -> Statement:
    """
    Raises:
        TooManyParts: it is too wide.
    """
    tokens = [*dropwhile(lambda token: token == b"(", _tokens(statement))]
    verb = tokens[0].lower() if tokens else b""
    columns = _columns(tokens) if verb in _READING else ()
    parameters = tokens.count(b"?")
    if max(len(columns), parameters) > COLUMNS_MAX:
        raise TooManyParts(f"{max(len(columns), parameters)} columns or parameters; allowed are {COLUMNS_MAX}")
    return Statement(columns, parameters, _shape(verb, tokens))


def wait_timeout(statement: bytes) -> bool:
    """Whether it asks how long a silent connection is kept."""
    words = [token.strip(b"'\"%").lower() for token in _tokens(statement)]
    return words[:2] == [b"show", b"variables"] and b"wait_timeout" in words


def _tokens(statement: bytes) -> Iterator[bytes]:
    for found in _TOKEN.finditer(statement):
        if found.lastgroup != "space":
            yield found[0]


def _columns(tokens: list[bytes]) -> tuple[bytes, ...]:
    """What stands between SELECT and FROM, divided by commas outside of brackets."""
    if tokens[0].lower() != b"select":
        return (b"Variable_name", b"Value")
    parts: list[list[bytes]] = [[]]
    depth, at = 0, 1
    for at, token in enumerate(tokens[1:], 1):  # noqa: B007 - where it ended is asked below
        depth += {b"(": 1, b")": -1}.get(token, 0)
        if depth == 0 and token == b",":
            parts.append([])
        elif depth < 0 or (depth == 0 and token.lower() in _ENDS_COLUMNS):
            break
        else:
            parts[-1].append(token)
    if any(part == [b"*"] for part in parts):
        count = _STARS.get(_table(tokens[at:]), 1)
        return tuple(b"c%d" % n for n in range(count))
    return tuple(b"".join(part[-1:])[:64].strip(b"`'\"") for part in parts)


def _shape(verb: bytes, tokens: list[bytes]) -> str:
    shape = b" ".join(filter(None, (verb[:16], _table(tokens))))
    return shape.decode("ascii", "replace")[:SHAPE_CHARACTERS]


def _table(tokens: list[bytes]) -> bytes:
    """The first name behind FROM, INTO or UPDATE."""
    for before, token in pairwise(tokens):
        if before.lower() in _NAMES_TABLE:
            return token.strip(b"`").lower()
    return b""
