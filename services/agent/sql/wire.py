"""Packets of the MySQL client/server protocol, as far as a booting map-server needs them. Pure.

In: bytes in any chunks. Out: whole packets, and bytes to send. All ints little endian. Source: the protocol's public
description, and what libmariadb 3.3 was seen to say (FACTS section 12).
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

PACKET_BYTES_MAX: Final = 64 * 1024
"""The longest seen has 300 bytes. Longer ones are cut off, as a server does beyond its max_allowed_packet."""
SCRAMBLE_BYTES: Final = 20
PLUGIN: Final = b"mysql_native_password"
_HEAD_BYTES: Final = 4

PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_WITH_DB = 1 << 9, 1 << 15, 1 << 19, 1 << 3
_LONG_PASSWORD, _LONG_FLAG, _TRANSACTIONS = 1 << 0, 1 << 2, 1 << 13
CAPABILITIES: Final = (
    _LONG_PASSWORD | _LONG_FLAG | CONNECT_WITH_DB | PROTOCOL_41 | _TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
)
"""No TLS, no compression, no files of the client, no several statements at once."""
_CHARSET: Final = 33
_AUTOCOMMIT: Final = 2
_VERSION: Final = b"8.0.0-kafra-holds-nothing"
_TEXT_TYPE: Final = 0xFD
_TEXT_BYTES: Final = 255

QUIT, INIT_DB, QUERY, PING, PREPARE, EXECUTE = 0x01, 0x02, 0x03, 0x0E, 0x16, 0x17
LONG_DATA, CLOSE, RESET, SET_OPTION, RESET_CONNECTION = 0x18, 0x19, 0x1A, 0x1B, 0x1F
"""Commands: the first byte of what a client says once it is in."""

ACCESS_DENIED, TOO_MANY_CONNECTIONS, UNKNOWN_COMMAND, UNKNOWN_STATEMENT = 1045, 1040, 1047, 1243
MALFORMED, TOO_MANY_STATEMENTS, TOO_MANY_PARTS = 1835, 1461, 1390
_SQL_STATES: Final = {ACCESS_DENIED: b"28000", TOO_MANY_CONNECTIONS: b"08004", UNKNOWN_COMMAND: b"08S01"}


class BadPacket(Exception):
    """Not this protocol, or beyond its bounds; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client answers to the greeting. proof: of the password. plugin: how it was made, empty for the old one."""

    capabilities: int
    user: bytes
    proof: bytes
    plugin: bytes


class Packets:
    """Splits one direction of one connection; holds at most one packet of PACKET_BYTES_MAX."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The packets that are whole now: (number, body).

        Raises:
            BadPacket: one is declared longer than PACKET_BYTES_MAX.
        """
        rest = self._rest
        rest += data
        found, at = [], 0
        while len(rest) - at >= _HEAD_BYTES:
            length = int.from_bytes(rest[at : at + 3], "little")
            if length > PACKET_BYTES_MAX:
                raise BadPacket(f"a packet of {length} bytes; allowed are {PACKET_BYTES_MAX}")
            end = at + _HEAD_BYTES + length
            if len(rest) < end:
                break
            found.append((rest[at + 3], bytes(rest[at + _HEAD_BYTES : end])))
            at = end
        del rest[:at]
        return found


def packets(number: int, bodies: list[bytes]) -> bytes:
    """Bodies as packets, numbered on from `number`. Each has to be shorter than 16 MB."""
    return b"".join(len(body).to_bytes(3, "little") + bytes([(number + at) % 256]) + body for at, body in enumerate(bodies))


def greeting(connection: int, scramble: bytes) -> bytes:
    """The first packet. scramble: SCRAMBLE_BYTES random ones, none of them 0."""
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    return b"".join((
        b"\x0a", _VERSION, b"\0", (connection & 0xFFFFFFFF).to_bytes(4, "little"), scramble[:8], b"\0",
        low.to_bytes(2, "little"), bytes([_CHARSET]), _AUTOCOMMIT.to_bytes(2, "little"), high.to_bytes(2, "little"),
        bytes([SCRAMBLE_BYTES + 1]), bytes(10), scramble[8:], b"\0", PLUGIN, b"\0",
    ))  # fmt: skip


def login(body: bytes) -> Login:
    """The client's answer to the greeting.

    Raises:
        BadPacket: it is none.
    """
    reader = _Reader(body)
    capabilities = int.from_bytes(reader.take(4), "little")
    if not capabilities & PROTOCOL_41 or not capabilities & SECURE_CONNECTION:
        raise BadPacket("a client older than MySQL 4.1")
    reader.take(4 + 1 + 23)
    user = reader.text()
    proof = reader.take(reader.take(1)[0])
    if capabilities & CONNECT_WITH_DB and reader.left:
        reader.text()
    plugin = reader.text() if capabilities & PLUGIN_AUTH and reader.left else PLUGIN
    return Login(capabilities, user, proof, plugin)


def ask_again(scramble: bytes) -> bytes:
    """To a client that proved its password in another way: prove it in ours."""
    return b"\xfe" + PLUGIN + b"\0" + scramble + b"\0"


def is_proof(proof: bytes, password: bytes, scramble: bytes) -> bool:
    """Whether `proof` was made of this password and scramble (mysql_native_password)."""
    once = _sha1(password)
    mask = _sha1(scramble + _sha1(once))
    return hmac.compare_digest(proof, bytes(one ^ other for one, other in zip(once, mask, strict=True)))


def ok() -> bytes:
    """Done, no row changed."""
    return b"\x00\x00\x00" + _AUTOCOMMIT.to_bytes(2, "little") + b"\x00\x00"


def error(code: int, text: str) -> bytes:
    return b"\xff" + code.to_bytes(2, "little") + b"#" + _SQL_STATES.get(code, b"HY000") + text.encode()[:255]


def end() -> bytes:
    """EOF: of columns, of rows."""
    return b"\xfe\x00\x00" + _AUTOCOMMIT.to_bytes(2, "little")


def columns(names: list[bytes]) -> list[bytes]:
    """What each column, or parameter, is called; then EOF. All are text."""
    return [*map(_column, names), end()]


def rows(names: list[bytes], values: list[list[bytes]]) -> list[bytes]:
    """A result of a plain statement."""
    return [_number(len(names)), *columns(names), *(b"".join(map(_text, row)) for row in values), end()]


def prepared(statement: int, parameters: int, names: list[bytes]) -> list[bytes]:
    """The answer to a statement to be kept: how many parameters it has, which columns."""
    head = b"\x00" + statement.to_bytes(4, "little") + len(names).to_bytes(2, "little") + parameters.to_bytes(2, "little")
    told = [head + bytes(3)]
    if parameters:
        told += columns([b"?"] * parameters)
    if names:
        told += columns(names)
    return told


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadPacket("it ends too early")
        self._at += count
        return self._body[self._at - count : self._at]

    def text(self) -> bytes:
        """Up to the next 0."""
        stop = self._body.find(b"\0", self._at)
        if stop < 0:
            raise BadPacket("a text without an end")
        found = self._body[self._at : stop]
        self._at = stop + 1
        return found


def _column(name: bytes) -> bytes:
    plain = (_CHARSET).to_bytes(2, "little") + _TEXT_BYTES.to_bytes(4, "little") + bytes([_TEXT_TYPE]) + bytes(5)
    return _text(b"def") + _text(b"") * 3 + _text(name) * 2 + b"\x0c" + plain


def _text(value: bytes) -> bytes:
    return _number(len(value)) + value


def _number(value: int) -> bytes:
    """Length-encoded, to 65535: nothing here is longer."""
    return bytes([value]) if value < 0xFB else b"\xfc" + value.to_bytes(2, "little")


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()
