"""The operator's signing key: who has it can give every host any program. A file for its owner alone, never overwritten."""

import os
from pathlib import Path

from libs.ed25519 import PrivateKey
from libs.pem import private_pem, read_private

KEY_NAME = "bundle.key"
KEY_BYTES_MAX = 4096


class BadKeyFile(Exception):
    """No signing key there, or one that others can read. Give up; the text says what to do."""


def make_key(path: Path) -> PrivateKey:
    """
    Raises: FileExistsError, another OSError.
    """
    key = PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private_pem(key))
        file.flush()
        os.fsync(file.fileno())
    return key


def read_key(path: Path) -> PrivateKey:
    """
    Raises: BadKeyFile, OSError.
    """
    if not path.is_file():
        raise BadKeyFile(f"{path}: no such key. Make one, once: kafra bundle key --key {path}")
    if os.name == "posix" and (mode := path.stat().st_mode & 0o777) & 0o077:
        raise BadKeyFile(f"{path}: others can read it (mode {mode:o}): chmod 600 {path}; if others were here, make a new one")
    with path.open("rb") as file:
        text = file.read(KEY_BYTES_MAX)
    try:
        return read_private(text)
    except ValueError:
        why = f"{path}: no Ed25519 key in PEM without a password, as `kafra bundle key` makes it"
        raise BadKeyFile(why) from None
