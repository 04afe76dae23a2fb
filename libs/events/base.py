"""How an event is declared: subject, stream and schema number once, beside its struct."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, TypeVar

import msgspec

CATALOG: dict[str, "type[Event]"] = {}
"""Subject without its last token -> event type; filled by `declare`."""


class Stream(StrEnum):
    """Where an event is kept (DESIGN section 4). What is kept for how long: libs/bus/streams.py."""

    HOSTS = "HOSTS"
    MAPS = "MAPS"
    ASSIGNMENTS = "ASSIGNMENTS"
    METRICS = "METRICS"
    DEAD = "DEAD"


@dataclass(frozen=True)
class Declaration:
    """name: subject without the last token. token: the field that is the last token, None for none.
    schema: raised by a breaking change, which also adds an upcast. said_by, heard_by: for docs/events.md."""

    name: str
    token: str | None
    stream: Stream | None
    schema: int
    said_by: str
    heard_by: str
    reply: "type[Reply] | None"

    @cached_property
    def header(self) -> str:
        """Value of the Kafra-Schema header."""
        return f"{self.name}/{self.schema}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact or an order on the bus. Unknown keys are ignored; a missing or ill-typed one is a `MalformedEvent`."""

    declaration: ClassVar[Declaration]


class Fact(msgspec.Struct, frozen=True, gc=False):
    """An event as a stream keeps it. event: None where the message could not be read (it is a dead letter, and its sequence
    still counts). stored_ms: the server's clock. trace: its traceparent header."""

    stream: Stream
    seq: int
    event: Event | None
    stored_ms: int = 0
    trace: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request; it travels on the requester's inbox and has no subject of its own."""


E = TypeVar("E", bound=Event)


def declare(
    name: str,
    *,
    token: str | None,
    stream: Stream | None,
    said_by: str,
    heard_by: str,
    schema: int = 1,
    reply: type[Reply] | None = None,
) -> Callable[[type[E]], type[E]]:
    """Class decorator: gives an event its place on the wire and enters it in the catalogue."""

    def enter(event_type: type[E]) -> type[E]:
        assert name not in CATALOG, f"{name} is declared twice"
        event_type.declaration = Declaration(name, token, stream, schema, said_by, heard_by, reply)
        CATALOG[name] = event_type
        return event_type

    return enter


def declaration_of(event: Event | type[Event]) -> Declaration:
    return event.declaration


def subject_of(event: Event) -> str:
    """The full subject, e.g. `map.enter.prt_fild08`. The token was validated when the event was decoded, or is by `encode`."""
    declaration = event.declaration
    return declaration.name if declaration.token is None else f"{declaration.name}.{getattr(event, declaration.token)}"
