"""From an event to what is published: subject, headers, body. Pure; shared by both buses."""

import re

from libs.events import BODY_BYTES_MAX, Event, Reply, encode, headers_for

_TRACE = re.compile(r"\A[0-9a-f-]{1,64}\Z")


def subject_for(event_type: type[Event], token: str) -> str:
    declared = event_type.declaration
    return declared.name if declared.token is None else f"{declared.name}.{token}"


def body_of(message: Event | Reply) -> bytes:
    """
    Raises:
        ValueError: no valid name, or too large to be read by anybody: a bug of the caller.
    """
    body = encode(message)
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"{type(message).__name__}: the body has {len(body)} bytes; allowed are {BODY_BYTES_MAX}")
    return body


def header_lines(event: Event, trace: str | None = None) -> bytes:
    """The headers of an event, each ended by a line end. A trace that is none is left out: it came from a stranger."""
    headers = headers_for(event, trace if trace and _TRACE.match(trace) else None)
    return "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode()


def publish_command(subject: str, body: bytes, *, reply: str = "", headers: bytes = b"") -> bytes:
    """headers: lines `Key: value\r\n`, without the first line and the last empty one."""
    if not headers:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(body), body)
    size = len(headers) + 12  # NATS/1.0 and two line ends
    return b"HPUB %b %b %d %d\r\nNATS/1.0\r\n%b\r\n%b\r\n" % (
        subject.encode(),
        reply.encode(),
        size,
        size + len(body),
        headers,
        body,
    )
