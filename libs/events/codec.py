"""Bytes <-> events. Parse at the door: what leaves here is valid, what is not is a `MalformedEvent`.

`decode(subject, body, headers)` checks size, subject, schema, every type and bound, and that the body's own host or map is the
subject's last token, so nobody speaks of another. Older schemas are lifted by upcasts, one number at a time.
"""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from libs.events.base import CATALOG, Declaration, Event, Reply
from libs.events.name_check import Check, check_of
from libs.events.names import is_name

BODY_BYTES_MAX = 256 * 1024
"""The largest real body is a config.applied or the orders of a huge host, below 200 KiB; NATS itself would take 1 MiB."""
SCHEMA_HEADER = "Kafra-Schema"
SUBJECTS_REMEMBERED_MAX = 16_384
"""More than the hosts or the maps of any realm; bounds what made-up names can cost."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(event name, schema n) -> a function that makes a body of schema n + 1 of it. Each has a golden file in tests/contract."""


class MalformedEvent(Exception):
    """A message that is no event of ours. `subject` as it came; `reason` for the dead letter. Never worth a retry."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject[:200]}: {reason}")
        self.subject = subject
        self.reason = reason


_ENCODER = msgspec.msgpack.Encoder()
_DECODERS: dict[type, msgspec.msgpack.Decoder[Any]] = {}
R = TypeVar("R", bound=Reply)


def encode(event: Event | Reply) -> bytes:
    """The body: a MessagePack map with string keys.

    Raises:
        ValueError: the event's token is no valid name; such an event could not be published.
    """
    if isinstance(event, Event) and (token := event.declaration.token) is not None and not is_name(getattr(event, token)):
        raise ValueError(f"{event.declaration.name}: {getattr(event, token)!r} is no valid name")
    return _ENCODER.encode(event)


@lru_cache(maxsize=SUBJECTS_REMEMBERED_MAX)
def parse_subject(subject: str) -> tuple[type[Event], str | None]:
    """Event type and last token of a subject.

    Raises:
        MalformedEvent: no such subject, or its last token is no valid name.
    """
    if event_type := CATALOG.get(subject):
        if event_type.declaration.token is None:
            return event_type, None
        raise MalformedEvent(subject, "the last token is missing")
    name, _, token = subject.rpartition(".")
    event_type = CATALOG.get(name)
    if event_type is None or event_type.declaration.token is None:
        raise MalformedEvent(subject, "no event has this subject")
    if not is_name(token):
        raise MalformedEvent(subject, "the last token is no valid name")
    return event_type, token


def decode(subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> Event:
    """The event in a message.

    Raises:
        MalformedEvent: anything wrong with it; nothing else, whatever the bytes.
    """
    event_type, token, decode_body, token_of, check = _door(subject)
    declared = event_type.declaration
    if len(body) > BODY_BYTES_MAX:
        raise MalformedEvent(subject, f"the body has {len(body)} bytes; allowed are {BODY_BYTES_MAX}")
    said = headers.get(SCHEMA_HEADER) if headers else None
    schema = declared.schema if said is None or said == declared.header else _schema(subject, said, declared)
    try:
        event: Event
        if schema == declared.schema:
            event = decode_body(body)
        else:
            event = msgspec.convert(_upcast(declared.name, schema, declared.schema, body), event_type)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedEvent(subject, str(error)) from None
    if token is not None and (spoken_of := token_of(event)) != token:
        raise MalformedEvent(subject, f"the body speaks of {declared.token} {spoken_of!r}")
    if check is not None and (bad := check(event)) is not None:
        raise MalformedEvent(subject, f"{bad} is no valid name")
    return event


def decode_reply(reply_type: type[R], body: bytes) -> R:
    """The reply in a message.

    Raises:
        MalformedEvent: anything wrong with it.
    """
    if len(body) > BODY_BYTES_MAX:
        raise MalformedEvent(reply_type.__name__, f"the body has {len(body)} bytes; allowed are {BODY_BYTES_MAX}")
    try:
        reply: R = _decoder(reply_type).decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedEvent(reply_type.__name__, str(error)) from None
    return reply


def headers_for(event: Event, traceparent: str | None = None) -> dict[str, str]:
    """The headers every publisher adds; the write attempt's own Nats-Msg-Id comes from libs.bus."""
    headers = {SCHEMA_HEADER: event.declaration.header}
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def _decoder(struct: type) -> msgspec.msgpack.Decoder[Any]:
    if (decoder := _DECODERS.get(struct)) is None:
        decoder = _DECODERS[struct] = msgspec.msgpack.Decoder(struct)
    return decoder


@lru_cache(maxsize=SUBJECTS_REMEMBERED_MAX)
def _door(subject: str) -> tuple[type[Event], str | None, Callable[[bytes], Event], Callable[[Event], str], Check | None]:
    """What a message with this subject is read with. Raises: MalformedEvent, as `parse_subject`."""
    event_type, token = parse_subject(subject)
    token_of = attrgetter(event_type.declaration.token or "declaration")
    return event_type, token, _decoder(event_type).decode, token_of, _name_check(event_type)


@cache
def _name_check(event_type: type[Event]) -> Check | None:
    """Of all names but the one in the subject."""
    return check_of(event_type, but=event_type.declaration.token)


def _schema(subject: str, header: str, declared: Declaration) -> int:
    name, current = declared.name, declared.schema
    said_name, _, number = header.partition("/")
    if said_name != name or not number.isascii() or not number.isdecimal() or len(number) > 4:
        raise MalformedEvent(subject, f"{SCHEMA_HEADER} {header[:80]!r} is not {name}/<number>")
    if not 1 <= int(number) <= current:
        raise MalformedEvent(subject, f"{SCHEMA_HEADER} {header[:80]!r} is not known here; the newest is {name}/{current}")
    return int(number)


def _upcast(name: str, schema: int, current: int, body: bytes) -> dict[str, Any]:
    fields = _decoder(dict).decode(body)
    for number in range(schema, current):
        upcast_one = UPCASTS[name, number]
        try:
            fields = upcast_one(fields)
        except (LookupError, TypeError, AttributeError) as error:  # an upcast takes the old body's keys and types for granted
            raise ValueError(f"no body of schema {number}: {error!r}") from None
    upcast: dict[str, Any] = fields
    return upcast
