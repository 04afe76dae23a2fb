"""The PROXY header, versions 1 and 2: a load balancer in front says whose connection it is. Pure.

Source: haproxy.org, proxy-protocol.txt. Read only where the operator switched it on: else a client could claim any address.
"""

from ipaddress import ip_address
from typing import Final, NamedTuple

V1_START: Final = b"PROXY "
V1_BYTES_MAX: Final = 107
V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
V2_HEAD_BYTES: Final = 16
V2_BYTES_MAX: Final = 536
"""Addresses and what a balancer may add behind them; more is nonsense."""
_V1_WORDS: Final = 6
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_TCP: Final = {0x11: 4, 0x21: 16}
"""Family and transport -> bytes of an address."""


class BadHeader(Exception):
    """No PROXY header: the balancer is not configured for it, or this is no balancer. Close."""


class Header(NamedTuple):
    """address: of the client, None where the balancer speaks for itself. size: bytes of the header."""

    address: str | None
    size: int


def parse(data: bytes) -> Header | None:
    """None: not whole yet.

    Raises:
        BadHeader: it never will be one.
    """
    if data[: len(V2_START)] == V2_START[: len(data)]:
        return _v2(data)
    if data[: len(V1_START)] == V1_START[: len(data)]:
        return _v1(data)
    raise BadHeader("no PROXY header")


def _v1(data: bytes) -> Header | None:
    """`PROXY TCP4 192.0.2.1 192.0.2.2 56324 5121\\r\\n`"""
    end = data.find(b"\r\n", 0, V1_BYTES_MAX)
    if end < 0:
        if len(data) >= V1_BYTES_MAX:
            raise BadHeader("PROXY v1 without an end")
        return None
    words = data[:end].split(b" ")
    if words[1] == b"UNKNOWN":
        return Header(None, end + 2)
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != _V1_WORDS:
        raise BadHeader("PROXY v1 of no TCP connection")
    return Header(_address(words[2].decode("ascii", "replace")), end + 2)


def _v2(data: bytes) -> Header | None:
    if len(data) < V2_HEAD_BYTES:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    size = V2_HEAD_BYTES + length
    if command not in (_V2_LOCAL, _V2_PROXY) or size > V2_BYTES_MAX:
        raise BadHeader("PROXY v2 of another kind")
    if len(data) < size:
        return None
    if command == _V2_LOCAL:
        return Header(None, size)
    width = _V2_TCP.get(family)
    if width is None or length < 2 * width + 4:
        raise BadHeader("PROXY v2 of no TCP connection")
    return Header(_address(data[V2_HEAD_BYTES : V2_HEAD_BYTES + width]), size)


def _address(raw: str | bytes) -> str:
    try:
        return str(ip_address(raw))
    except ValueError:
        raise BadHeader("PROXY with no address") from None
