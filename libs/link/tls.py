"""Who may speak on a bridge<->relay connection: an authority of the operator's own, and mutual TLS by it.

A directory holds ca.pem, cert.pem and key.pem. Both ends show a certificate; each takes only one that this authority made and
that carries the name it expects of the other. `make_authority` makes them for `kafra up` and the tests; an operator with an
authority of his own puts his three files there.
"""

import datetime
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BRIDGE: Final = "kafra-bridge"
RELAY: Final = "kafra-relay"
CA_FILE, CERT_FILE, KEY_FILE = "ca.pem", "cert.pem", "key.pem"
VALID_DAYS: Final = 3650
"""As long as an installation lives: the authority is on the same machine as its keys, so renewing buys nothing."""
_SKEW: Final = datetime.timedelta(days=1)
"""Valid since yesterday: clocks differ."""


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


def make_authority(directory: Path, parties: Iterable[str] = (BRIDGE, RELAY)) -> dict[str, Path]:
    """A new authority, and for each party a directory below with its three files; keys are readable by us alone.

    The authority's own key is not kept: nobody can make a further certificate. Existing files are replaced.
    Returns: party -> its directory.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("kafra", key.public_key(), key, None)
    made = {}
    for party in parties:
        own_key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(party, own_key.public_key(), key, ca)
        place = made[party] = directory / party
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_secret(place / CA_FILE, ca.public_bytes(serialization.Encoding.PEM))
        write_secret(place / CERT_FILE, certificate.public_bytes(serialization.Encoding.PEM))
        write_secret(
            place / KEY_FILE,
            own_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )
    return made


def identities(directory: Path, parties: Iterable[str] = (BRIDGE, RELAY)) -> dict[str, Path]:
    """The same, made once: what is whole is kept."""
    places = {party: directory / party for party in parties}
    whole = all((place / name).exists() for place in places.values() for name in (CA_FILE, CERT_FILE, KEY_FILE))
    return places if whole else make_authority(directory, parties)


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePrivateKey, ca: x509.Certificate | None
) -> x509.Certificate:
    """ca: who issues it; None: it is the authority itself."""
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=0 if ca is None else None), critical=True)
        .add_extension(_usage(of_authority=ca is None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    if ca is not None:
        both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        built = built.add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
    return built.sign(signer, hashes.SHA256())


def _usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_authority,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def write_secret(path: Path, data: bytes) -> None:
    """Whole or not at all, never readable by others, not even for a moment."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)
