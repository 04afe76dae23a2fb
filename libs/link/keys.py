"""The keys behind a host's link: the registry signs tickets, the bridge shows a certificate and knows who signs.

Two directories: the registry's with tickets.key and bridge.pem, of which the agent is told the fingerprint; the bridge's with
tickets.pub, cert.pem and key.pem. `kafra up` makes both.
"""

import asyncio
import hashlib
import ssl
import tempfile
from pathlib import Path
from typing import Final

from libs.ed25519 import PrivateKey, PublicKey
from libs.link.tls import CERT_FILE, KEY_FILE, BadIdentity, write_secret

SIGNER, TAKER = "registry", "bridge"
SIGNING_FILE, PUBLIC_FILE, BRIDGE_FILE = "tickets.key", "tickets.pub", "bridge.pem"
HOSTS: Final = "kafra-hosts"
"""The name in the certificate; agents do not go by it but by the fingerprint."""


def link_keys(directory: Path) -> dict[str, Path]:
    """SIGNER and TAKER -> its directory; made once, what is whole is kept."""
    signer, taker = directory / SIGNER, directory / TAKER
    files = [signer / SIGNING_FILE, signer / BRIDGE_FILE, taker / PUBLIC_FILE, taker / CERT_FILE, taker / KEY_FILE]
    if not all(file.exists() for file in files):
        _make(signer, taker)
    return {SIGNER: signer, TAKER: taker}


def _make(signer: Path, taker: Path) -> None:
    from libs.link.certifying import make_authority  # an agent makes none
    from libs.pem import private_pem, public_pem

    key = PrivateKey.generate()
    for place in (signer, taker):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = make_authority(taker, (HOSTS,))[HOSTS]
    for name in (CERT_FILE, KEY_FILE):
        (made / name).replace(taker / name)
    for left in made.iterdir():
        left.unlink()
    made.rmdir()
    write_secret(signer / SIGNING_FILE, private_pem(key))
    write_secret(signer / BRIDGE_FILE, (taker / CERT_FILE).read_bytes())
    write_secret(taker / PUBLIC_FILE, public_pem(key.public_key()))


def signing_key(directory: Path) -> PrivateKey:
    """The registry's. Raises: BadIdentity."""
    from libs.pem import read_private  # only services read keys from files

    path = directory / SIGNING_FILE
    try:
        return read_private(path.read_bytes())
    except OSError as error:
        raise BadIdentity(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise BadIdentity(f"{path}: {error}") from None


def verifying_key(directory: Path) -> PublicKey:
    """The bridge's. Raises: BadIdentity."""
    from libs.pem import read_public

    path = directory / PUBLIC_FILE
    try:
        return read_public(path.read_bytes())
    except OSError as error:
        raise BadIdentity(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise BadIdentity(f"{path}: {error}") from None


def fingerprint_of(path: Path) -> bytes:
    """SHA-256 of a certificate in PEM. Raises: BadIdentity."""
    try:
        return fingerprint(ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii")))
    except OSError as error:
        raise BadIdentity(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise BadIdentity(f"{path}: no certificate in PEM") from None


def fingerprint(der: bytes) -> bytes:
    return hashlib.sha256(der).digest()


def shown_by(transport: asyncio.BaseTransport) -> bytes:
    """SHA-256 of the certificate that the other end of a TLS connection shows."""
    return fingerprint(transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b"")


def taking_context(directory: Path) -> ssl.SSLContext:
    """TLS for a listener that hosts come to: agents show no certificate, their tickets name their keys. Raises: BadIdentity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a link is resumed by its own secret
    try:
        context.load_cert_chain(directory / CERT_FILE, directory / KEY_FILE)
    except OSError as error:  # ssl.SSLError is one
        raise BadIdentity(f"{directory}: {error.strerror or error}") from None
    return context


def passing_identity() -> tuple[ssl.SSLContext, bytes]:
    """TLS for a listener of a process that tells everybody its certificate's SHA-256 itself: made now, and gone with it.

    Raises:
        OSError: there is no room for a temporary file.
    """
    from libs.link.certifying import make_authority  # only who certifies pays for X.509

    with tempfile.TemporaryDirectory(prefix="kafra-") as directory:
        made = make_authority(Path(directory), (HOSTS,))[HOSTS]
        return taking_context(made), fingerprint_of(made / CERT_FILE)


def linking_context() -> ssl.SSLContext:
    """TLS for an agent. No authority vouches for who it meets: it compares `fingerprint` with what its order says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
