"""Whether an agent may link: its ticket, its key, once. In: `LinkOpen`. Out: nothing, or `Refused` with what to say of it."""

from dataclasses import dataclass
from pathlib import Path

from libs.ed25519 import PublicKey
from libs.link.keys import fingerprint_of, verifying_key
from libs.link.messages import LinkOpen
from libs.link.nonces import Nonces
from libs.link.tickets import BadTicket, proven, verify
from libs.link.tls import CERT_FILE


@dataclass
class Admission:
    """signer: whose tickets count. certificate: SHA-256 of the one this bridge shows."""

    signer: PublicKey
    certificate: bytes
    nonces: Nonces

    @classmethod
    def read(cls, directory: Path, store: Path | None, now_ms: int) -> "Admission":
        """directory: libs/link/keys.py. Raises: BadIdentity."""
        return cls(verifying_key(directory), fingerprint_of(directory / CERT_FILE), Nonces(store, now_ms))

    def admit(self, hello: LinkOpen, now_ms: int) -> None:
        """The nonce is spent last: who does not have the key cannot use up another's ticket.

        Raises:
            BadTicket: refused. Signed where the ticket is the operator's: only then it says something of a host.
        """
        ticket = verify(hello.ticket, self.signer, purpose="link", host=hello.host, holder=hello.key, now_ms=now_ms)
        if not proven(hello.proof, hello.key, hello.ticket, self.certificate):
            raise BadTicket("proof", "who presents it does not have its key", signed=True)
        try:
            fresh = self.nonces.spend(ticket.nonce, now_ms)
        except OSError as error:
            raise BadTicket("unremembered", f"it cannot be remembered: {error}") from None
        if not fresh:
            raise BadTicket("replayed", "it was used before", signed=True)
