"""Names that become subject tokens, and the measured quantities with their bounds.

A name is validated before it becomes a token: NATS itself accepts `*` and `>` in a publish subject (NATS.md). Of the types
below only the codec of events checks the characters (libs/events/name_check.py); a msgspec decoder alone does not.
"""

import re
from typing import Annotated, NewType

from msgspec import Meta

NAME_PATTERN = r"\A[A-Za-z0-9_@-]{1,32}\Z"
HOST_KEY_PATTERN = r"\AU[A-Z2-7]{55}\Z"
_NAME = re.compile(NAME_PATTERN)

NAME_CHARACTERS_MAX = 32
IS_NAME = "is_name"
"""In `extra` of a type: what is decoded here is yet to be checked by `is_name` (libs/events/name_check.py)."""

_Unchecked = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX, extra={IS_NAME: True})]
Name = _Unchecked
HostId = NewType("HostId", _Unchecked)
MapName = NewType("MapName", _Unchecked)
Region = NewType("Region", _Unchecked)
NodeName = NewType("NodeName", _Unchecked)
"""Who wrote: one process of ours (`scorer-4f2a90c1`)."""

# Bounds are what a real machine or a real server could ever say; beyond them a message is a dead letter.
AtMs = Annotated[int, Meta(ge=0, le=2**53)]
"""Unix milliseconds."""
HostKey = Annotated[str, Meta(pattern=HOST_KEY_PATTERN)]
"""A public nkey of a user, as NATS writes it; whether its checksum is right is for who makes it a user to ask."""
RUNS = 2**48
Run = Annotated[int, Meta(ge=0, le=RUNS - 1)]
"""Of an agent process, drawn by chance."""
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A JetStream sequence; 0 is `nothing yet`."""
Count = Annotated[int, Meta(ge=0, le=10**6)]
PlayersMax = Annotated[int, Meta(ge=1, le=10**6)]
"""At least one: who wants nobody at all is no host."""
AccountId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Cell = Annotated[int, Meta(ge=0, le=32767)]
Ghz = Annotated[float, Meta(ge=0, le=1000)]
Cores = Annotated[int, Meta(ge=0, le=4096)]
Megabytes = Annotated[float, Meta(ge=0, le=1e9)]
Mbps = Annotated[float, Meta(ge=0, le=1e7)]
DurationMs = Annotated[float, Meta(ge=0, le=1e9)]
PerSecond = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Score = Annotated[float, Meta(ge=-10, le=10)]
HostPort = Annotated[str, Meta(max_length=262)]
"""`host:port`, as in the configuration."""
Relays = Annotated[dict[Region, HostPort], Meta(max_length=64)]
"""Region -> where its relay listens."""
Text = Annotated[str, Meta(max_length=1024)]
PLAIN_LINE_PATTERN = r"\A[ -~]{1,512}\Z"
PlainLine = Annotated[str, Meta(pattern=PLAIN_LINE_PATTERN)]
"""A host's own words, which operators see as they are: nothing that a terminal would obey."""
Key = Annotated[str, Meta(max_length=256)]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]
Scalar = Annotated[str, Meta(max_length=4096)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Number | bool | None
Scalars = Annotated[list[Scalar], Meta(max_length=4096)]
Plain = Scalar | Scalars | Annotated[dict[Key, Scalar], Meta(max_length=4096)]
Evidence = Annotated[dict[Key, Plain], Meta(max_length=64)]
"""Plain values only, so that whatever a host answered can be shown as JSON."""


def is_name(text: str) -> bool:
    """True if `text` may become a subject token (a host id, a map name, a region)."""
    return _NAME.match(text) is not None
