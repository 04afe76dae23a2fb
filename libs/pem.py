"""Ed25519 keys as files: PEM, as openssl writes and reads them. Imported where keys are kept; an agent keeps none."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.ed25519 import PrivateKey, PublicKey


def private_pem(key: PrivateKey) -> bytes:
    """PKCS #8, without a password."""
    form = serialization.PrivateFormat.PKCS8
    found = Ed25519PrivateKey.from_private_bytes(key.private_bytes_raw())
    return found.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem(key: PublicKey) -> bytes:
    found = Ed25519PublicKey.from_public_bytes(key.public_bytes_raw())
    return found.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_private(text: bytes) -> PrivateKey:
    """Raises: ValueError: no such key; the text says so and repeats nothing."""
    try:
        key = serialization.load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("no Ed25519 key")
    return PrivateKey(key.private_bytes_raw())


def read_public(text: bytes) -> PublicKey:
    """Raises: ValueError, as `read_private`."""
    try:
        key = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("no Ed25519 key")
    return PublicKey(key.public_bytes_raw())
