"""Ed25519 (RFC 8032): what signs tickets and bundles. By libsodium, which whoever signs in at NATS has loaded anyway: another
library for the same is 8 MB of a player's memory. Keys are 32 bytes, signatures 64.
"""

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey


class InvalidSignature(Exception):
    """Whoever signed this, it was not the holder of the key."""


class PublicKey:
    """Raises: ValueError: not 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        self._key = VerifyKey(raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises: InvalidSignature."""
        try:
            self._key.verify(data, signature)
        except CryptoError:  # also where it is not 64 bytes long
            raise InvalidSignature from None

    def public_bytes_raw(self) -> bytes:
        return bytes(self._key)


class PrivateKey:
    """Raises: ValueError: not 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        self._key = SigningKey(raw)

    @classmethod
    def generate(cls) -> "PrivateKey":
        return cls(bytes(SigningKey.generate()))

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data).signature

    def private_bytes_raw(self) -> bytes:
        return bytes(self._key)

    def public_key(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))
