"""From a message's bytes to a `Fact`. Pure; the only place where headers are read."""

from collections.abc import Mapping
from functools import lru_cache

from libs.events import Event, Fact, MalformedEvent, Stream, decode

SCHEMA = b"Kafra-Schema"
TRACE = b"traceparent"
_TRACE_LINE = b"\r\ntraceparent:"
MSG_ID = b"Nats-Msg-Id"
PLAIN_BYTES_MAX = 64
"""Headers without a trace or an id of their own: the same few with every message."""


def header(headers: bytes, key: bytes) -> str | None:
    """The value of `key` in headers as they came (`NATS/1.0\\r\\nKey: value\\r\\n...`); None for none."""
    start = headers.find(b"\r\n" + key + b":")
    if start < 0:
        return None
    start += len(key) + 3
    return headers[start : headers.find(b"\r\n", start)].strip().decode("utf-8", "replace")


def schema_of(headers: bytes) -> Mapping[str, str] | None:
    """What `libs.events.decode` wants to know of the headers."""
    if not headers:
        return None
    return _plain_schema(headers) if len(headers) <= PLAIN_BYTES_MAX else _schema(headers)


def _schema(headers: bytes) -> Mapping[str, str] | None:
    schema = header(headers, SCHEMA)
    return {"Kafra-Schema": schema} if schema is not None else None


_plain_schema = lru_cache(maxsize=256)(_schema)


def name_of(subject: bytes) -> str:
    """A subject may hold any bytes but blanks; what is no UTF-8 is no event of ours, but must be told."""
    return subject.decode("utf-8", "backslashreplace")


def fact_from(
    stream: Stream, seq: int, stored_ms: int, *, subject: bytes, headers: bytes, body: bytes, own: Event | None = None
) -> tuple[Fact, MalformedEvent | None]:
    """The fact in a stored message; with event None, and why, where it could not be read. own: the event, where it is known."""
    trace = header(headers, TRACE) if _TRACE_LINE in headers else None
    if own is not None:
        return Fact(stream, seq, own, stored_ms, trace), None
    try:
        event = decode(name_of(subject), body, schema_of(headers))
    except MalformedEvent as error:
        return Fact(stream, seq, None, stored_ms, trace), error
    return Fact(stream, seq, event, stored_ms, trace), None
