"""An authority and what it certifies, for libs/link/tls.py. Agents make none, and do without 7 MB of X.509."""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from libs.link.tls import BRIDGE, CA_FILE, CERT_FILE, KEY_FILE, RELAY, write_secret

VALID_DAYS: Final = 3650
"""As long as an installation lives: the authority is on the same machine as its keys, so renewing buys nothing."""
_SKEW: Final = datetime.timedelta(days=1)
"""Valid since yesterday: clocks differ."""


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
