"""One-time tickets: who may link a host to the bridge, or dial a relay for a player (DESIGN section 7). Pure.

A ticket names the host, the purpose and the key of the one process that may use it, and holds for `LIFE_MS`. In: its fields
and the signing key: the registry's for links, the relay's own for dials. Out: text for `Link.ticket` and `HostDial.ticket`. Who
presents it proves with `prove` that it has the key; who takes it asks `verify` and `proven`, then spends the nonce: a ticket
counts once (nonces.py).
"""

import base64
import binascii
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from libs.ed25519 import InvalidSignature, PrivateKey, PublicKey

LIFE_MS: Final = 30_000
SKEW_MS: Final = 2_000
"""How far the clocks of who signs and who verifies may be apart: both are the operator's and keep time. The player's clock is
never asked."""
NONCE_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
TEXT_MAX: Final = 2_048
_TICKET, _PROOF = b"kafra ticket 1\0", b"kafra ticket proof 1\0"
"""What is signed begins so: a signature for one thing is none for another."""
Purpose = Literal["link", "dial"]
Why = Literal["unreadable", "signature", "purpose", "host", "key", "expired", "early", "proof", "replayed", "unremembered"]
KEY_PATTERN: Final = r"\A[0-9a-f]{64}\Z"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """host: whose. key: Ed25519 public key of the process it is for, hex. nonce: never given twice. to: the relay a "dial" is
    for; empty for the bridge. expires_ms: Unix ms of who signs."""

    purpose: Purpose
    host: Annotated[str, Meta(max_length=32)]
    key: Annotated[str, Meta(pattern=KEY_PATTERN)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    expires_ms: Annotated[int, Meta(ge=0, le=2**62)]
    to: Annotated[str, Meta(max_length=64)] = ""


class BadTicket(Exception):
    """Refused. why: in one word. signed: the operator's key made it, so that its host is concerned indeed."""

    def __init__(self, why: Why, detail: str, *, signed: bool = False) -> None:
        super().__init__(detail)
        self.why, self.signed = why, signed


_DECODER: Final = msgspec.msgpack.Decoder(Ticket)


def sign(ticket: Ticket, key: PrivateKey) -> str:
    body = msgspec.msgpack.encode(ticket)
    return base64.urlsafe_b64encode(key.sign(_TICKET + body) + body).decode().rstrip("=")


def verify(text: str, key: PublicKey, *, purpose: Purpose, host: str, holder: str, now_ms: int, to: str = "") -> Ticket:
    """The ticket, if it is what it should be. holder: the key its bearer says is his own, hex; ask `proven` besides.

    Raises:
        BadTicket: it is not, and why.
    """
    ticket = _opened(text, key)
    if ticket.purpose != purpose or ticket.to != to:
        raise BadTicket("purpose", f"it is for {ticket.purpose} {ticket.to}".rstrip(), signed=True)
    if ticket.host != host:
        raise BadTicket("host", f"it is for {ticket.host}, and {host} presents it", signed=True)
    if ticket.key != holder:
        raise BadTicket("key", "it is for another key", signed=True)
    if now_ms > ticket.expires_ms + SKEW_MS:
        raise BadTicket("expired", f"it expired {now_ms - ticket.expires_ms} ms ago", signed=True)
    if ticket.expires_ms > now_ms + LIFE_MS + SKEW_MS:
        raise BadTicket("early", "it holds longer than any should: the clocks of registry and bridge are apart", signed=True)
    return ticket


def _opened(text: str, key: PublicKey) -> Ticket:
    try:
        if len(text) > TEXT_MAX:
            raise ValueError
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise BadTicket("unreadable", "it is no ticket") from None
    body = raw[SIGNATURE_BYTES:]
    try:
        key.verify(raw[:SIGNATURE_BYTES], _TICKET + body)
    except InvalidSignature:
        raise BadTicket("signature", "the operator's key did not sign it") from None
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise BadTicket("unreadable", "signed, and no ticket of this version", signed=True) from None


def public_hex(key: PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def prove(key: PrivateKey, ticket: str, certificate: bytes) -> bytes:
    """That who says this has the key. certificate: SHA-256 of the TLS certificate of who is told, checked before: so nobody in
    between can use the proof elsewhere."""
    return key.sign(_PROOF + certificate + ticket.encode())


def proven(proof: bytes, holder: str, ticket: str, certificate: bytes) -> bool:
    try:
        PublicKey(bytes.fromhex(holder)).verify(proof, _PROOF + certificate + ticket.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
