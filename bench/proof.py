"""What a row of `make prove` is given, and what it says."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """quick: a taste of each row, to see that it runs; proves nothing. tell: progress within a row."""

    quick: bool
    tell: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proof:
    """A line of the table. note: why not, when it is not ok."""

    what: str
    target: str
    measured: str
    ok: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    what: str
    prove: Callable[[Scale], Awaitable[list[Proof]]]
