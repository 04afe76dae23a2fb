"""Who may speak on a bridge<->relay connection: an authority of the operator's own, and mutual TLS by it.

A directory holds ca.pem, cert.pem and key.pem. Both ends show a certificate; each takes only one that this authority made and
that carries the name it expects of the other. certifying.py makes them for `kafra up` and the tests; an operator with an
authority of his own puts his three files there.
"""

import os
import ssl
from pathlib import Path
from typing import Final

BRIDGE: Final = "kafra-bridge"
RELAY: Final = "kafra-relay"
CA_FILE, CERT_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"


class BadIdentity(ValueError):
    """A file is missing, or is no certificate or key; or it does not fit the others. Give up: an operator has to look."""


def server_context(directory: Path) -> ssl.SSLContext:
    """For who listens (the bridge). Raises: BadIdentity."""
    return _context(directory, ssl.PROTOCOL_TLS_SERVER)


def client_context(directory: Path) -> ssl.SSLContext:
    """For who connects (the relay); its connection names whom it expects. Raises: BadIdentity."""
    return _context(directory, ssl.PROTOCOL_TLS_CLIENT)


def _context(directory: Path, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(directory / CA_FILE)
        context.load_cert_chain(directory / CERT_FILE, directory / KEY_FILE)
    except OSError as error:  # ssl.SSLError is one
        raise BadIdentity(f"{directory}: {error.strerror or error}") from None
    return context


def names(certificate: "dict[str, object] | None") -> frozenset[str]:
    """The DNS names a verified certificate carries, as `SSLObject.getpeercert` returned it."""
    alternatives = (certificate or {}).get("subjectAltName", ())
    return frozenset(name for kind, name in alternatives if kind == "DNS")  # type: ignore[attr-defined]


def write_secret(path: Path, data: bytes) -> None:
    """Whole or not at all, never readable by others, not even for a moment."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)
