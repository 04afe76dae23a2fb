"""The proof a host.check asks for: agent and validator compute the same."""

from hashlib import sha256

from libs.events.orders import HostCheck


def proof_of(check: HostCheck) -> str:
    """SHA-256 over nonce and host, chained `rounds` times, hex."""
    digest = f"{check.nonce}:{check.host}".encode()
    for _ in range(check.rounds):
        digest = sha256(digest).digest()
    return digest.hex()
