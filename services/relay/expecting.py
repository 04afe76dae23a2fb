"""Which dials of hosts this relay waits for, and whether one that comes is one of them (docs/adr/0023).

In: players to be brought to a host's map-server; `DialOpen`. Out: tickets for host.dial; who was waited for, or why not.
Tickets are signed by this relay process alone: those of another, or of before its start, are nobody's. What waits is bounded by
the relay's connections, one each.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from libs.ed25519 import PrivateKey
from libs.link.dials import DialOpen
from libs.link.nonces import Nonces
from libs.link.tickets import LIFE_MS, BadTicket, Ticket, proven, sign, verify

T = TypeVar("T")
TEXT_MAX: Final = 160
"""Of what a host says for a reason."""


class GivenUp(Exception):
    """A good ticket, and nobody waits for it any more: it came too late."""


@dataclass(frozen=True, slots=True, eq=False)
class Expected(Generic[T]):
    """One player who waits. host, key: whose agent process has to come. ticket: what it presents. who: the caller's."""

    host: str
    key: str
    nonce: bytes
    ticket: str
    who: T


class Expecting(Generic[T]):
    """relay: its name, which tickets are for. certificate: SHA-256 of the one it shows. Times: Unix ms of this process."""

    def __init__(self, relay: str, certificate: bytes) -> None:
        self._relay, self._certificate = relay, certificate
        self._key = PrivateKey.generate()
        self._waiting: dict[bytes, Expected[T]] = {}
        self._spent = Nonces(None, 0)

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, host: str, key: str, nonce: bytes, who: T, now_ms: int) -> Expected[T]:
        """nonce: drawn by chance. `forget` it at the end, whatever came of it."""
        ticket = Ticket(purpose="dial", host=host, key=key, nonce=nonce, expires_ms=now_ms + LIFE_MS, to=self._relay)
        expected = self._waiting[nonce] = Expected(host, key, nonce, sign(ticket, self._key), who)
        return expected

    def forget(self, expected: Expected[T]) -> None:
        self._waiting.pop(expected.nonce, None)

    def admit(self, hello: DialOpen, now_ms: int) -> Expected[T]:
        """Who was waited for; once. The ticket is spent last: who does not have its key cannot use up another's.

        Raises:
            BadTicket: refused. Signed where the ticket is this relay's: only then it says something of a host.
            GivenUp: it came too late.
        """
        public = self._key.public_key()
        ticket = verify(hello.ticket, public, purpose="dial", host=hello.host, holder=hello.key, now_ms=now_ms, to=self._relay)
        if not proven(hello.proof, hello.key, hello.ticket, self._certificate):
            raise BadTicket("proof", "who presents it does not have its key", signed=True)
        try:
            fresh = self._spent.spend(ticket.nonce, now_ms)
        except OSError as error:
            raise BadTicket("unremembered", str(error)) from None
        if not fresh:
            raise BadTicket("replayed", "it was used before", signed=True)
        if (expected := self._waiting.pop(ticket.nonce, None)) is None:
            raise GivenUp("nobody waits for it any more")
        return expected


def told(reason: str) -> str:
    """What a host says, fit for a log."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in reason[:TEXT_MAX])
