"""Nkeys: made, read, kept in files nobody else reads. A seed (S...) is secret and stays where it was made; its public key (U...
of a user) may be shown to anyone.
"""

import base64
import binascii
import os
import secrets
from enum import IntEnum
from pathlib import Path

import nkeys

SEED_BYTES = 32
OTHERS = 0o077
"""Permission bits of a file that let others at it."""


class Kind(IntEnum):
    """Of whom a key is; NATS's prefix bytes."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER


class BadKey(ValueError):
    """No key, or another kind of key. The text never repeats what may be a secret."""


def make_seed(kind: Kind) -> str:
    """A new one."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(SEED_BYTES), kind)
    return seed.decode()


def public_key_of(seed: str) -> str:
    """
    Raises:
        BadKey: no seed.
    """
    try:
        return str(nkeys.from_seed(bytearray(seed, "ascii")).public_key.decode())
    except (nkeys.NkeysError, ValueError, UnicodeEncodeError) as error:
        raise BadKey(f"this is no nkey seed: {type(error).__name__}") from None


def sign(seed: str, data: bytes) -> bytes:
    """Ed25519, 64 bytes."""
    signature: bytes = nkeys.from_seed(bytearray(seed, "ascii")).sign(data)
    return signature


def check_host_key(text: str) -> str:
    """The public key in `text`, as nats-server will take it.

    Raises:
        BadKey: it is none of a user; says why.
    """
    key = text.strip()
    if key.startswith("SU"):
        raise BadKey("this is a seed, the secret half: it belongs on the host alone; wanted is the public key, U...")
    try:
        raw = base64.b32decode(key)
    except (binascii.Error, ValueError):
        raise BadKey("no public nkey: 56 characters of A-Z and 2-7, the first a U") from None
    if len(raw) != 1 + SEED_BYTES + 2 or raw[0] != Kind.USER:
        raise BadKey("no public nkey of a user: 56 characters of A-Z and 2-7, the first a U")
    if nkeys.crc16_checksum(raw[:-2]) != raw[-2:]:
        raise BadKey("its checksum is wrong: a character was lost or changed on the way")
    return key


def read_seed(path: Path) -> str:
    """The seed in a file; lines that begin with # are comments.

    Raises:
        BadKey: no seed in it, or others may read it.
        OSError: it cannot be read.
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    if len(said) != 1:
        raise BadKey(f"{path} holds no nkey seed")
    public_key_of(said[0])
    check_private(path)
    return said[0]


def check_private(path: Path) -> None:
    """
    Raises:
        BadKey: others may read this secret; says what to do. Only where files have permission bits.
        OSError: no such file.
    """
    if os.name == "posix" and path.stat().st_mode & OTHERS:
        raise BadKey(f"{path} may be read by others; it is a secret: chmod 600 {path}")


def write_secret(path: Path, text: str) -> None:
    """A new file that only we can read.

    Raises:
        FileExistsError: there is one; it is left as it is.
        OSError: it cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise
