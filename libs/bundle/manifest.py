"""The manifest: what is in a bundle, signed. One file, so that list and signature never part.

`kafra-bundle 1 SIGNATURE`, a line end, and a JSON value; the signature, in hex, is Ed25519 (RFC 8032) over the JSON's very
bytes. `sealed` makes it, `opened` reads it: not a byte of the JSON is looked at before the signature held.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from libs.bundle.paths import check_path, check_together
from libs.bundle.refusal import Kind, Refused
from libs.ed25519 import InvalidSignature, PrivateKey, PublicKey

FORMAT: Final = 1
MANIFEST_NAME: Final = "manifest.kafra"
"""Beside `objects/`, at the address agents are told."""
MANIFEST_BYTES_MAX: Final = 4 << 20
FILES_MAX: Final = 5_000
"""A tree of rAthena with every script has 1,700 that a map-server could open; the list of so many has 2 MB."""
FILE_BYTES_MAX: Final = 256 << 20
"""A map-server that was not stripped has 88 MB."""
TOTAL_BYTES_MAX: Final = 1 << 30
"""A host has 36 MB with stock rAthena."""
VERSION_CHARACTERS: Final = 32
"""Of SHA-256, in hex: 128 bits."""
MODES: Final = (0o644, 0o755)
_MAGIC: Final = b"kafra-bundle "
_HEAD: Final = re.compile(rb"kafra-bundle ([0-9]{1,9}) ([0-9a-f]{128})\n")
_KEY: Final = re.compile(r"[0-9a-f]{64}")

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Platform = Literal["", "linux-x86_64", "linux-aarch64", "windows-x86_64"]
"""Whose the file is; empty: everybody's."""


class BadKey(ValueError):
    """No public key. Give up; the text says what one looks like."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file. size: bytes. mode: 0o644 or 0o755. packed_*: of the zlib stream it travels as."""

    path: str
    size: Annotated[int, Meta(ge=0)]
    mode: int
    sha256: Digest
    packed_size: Annotated[int, Meta(ge=0)]
    packed_sha256: Digest
    platform: Platform = ""

    @property
    def object_name(self) -> str:
        """Where it lies, below the manifest's directory."""
        return object_name(self.packed_sha256)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: for people. version: of the content alone, so the same files have the same. sequence: grows with every manifest of
    a key. files: by path."""

    format: int = FORMAT
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[ -~]+\Z")]
    version: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    sequence: Annotated[int, Meta(ge=1, le=2**53)]
    created_at_ms: Annotated[int, Meta(ge=0, le=2**53)]
    files: tuple[Entry, ...]

    def for_platform(self, platform: str) -> tuple[Entry, ...]:
        """What a machine of that kind needs."""
        return tuple(entry for entry in self.files if entry.platform in ("", platform))


def object_name(packed_sha256: str) -> str:
    return f"objects/{packed_sha256[:2]}/{packed_sha256}"


def version_of(files: Iterable[Entry]) -> str:
    """Of paths, modes, platforms and contents; how they are packed does not count."""
    lines = (f"{entry.path}\n{entry.mode:o} {entry.size} {entry.sha256} {entry.platform}\n" for entry in files)
    return sha256("".join(lines).encode()).hexdigest()[:VERSION_CHARACTERS]


def sealed(manifest: Manifest, key: PrivateKey) -> bytes:
    """
    Raises: Refused, where no agent would take it.
    """
    check(manifest)
    body = msgspec.json.encode(manifest)
    if len(body) > MANIFEST_BYTES_MAX // 2:
        raise Refused(Kind.TOO_MUCH, f"the list of files is larger than {MANIFEST_BYTES_MAX // 2} bytes")
    return b"%s%d %s\n%s" % (_MAGIC, FORMAT, key.sign(body).hex().encode(), body)


def opened(data: bytes, key: PublicKey) -> Manifest:
    """
    Raises: Refused.
    """
    head = _HEAD.match(data)
    if head is None or len(data) > MANIFEST_BYTES_MAX:
        raise Refused(Kind.SIGNATURE, "it is no manifest of a bundle")
    if int(head[1]) > FORMAT and head[1] == b"%d" % int(head[1]):
        raise Refused(Kind.FORMAT, f"it has format {int(head[1])}, this Kafra reads {FORMAT}: update Kafra")
    try:
        if head[1] != b"%d" % FORMAT:
            raise InvalidSignature
        key.verify(bytes.fromhex(head[2].decode()), data[head.end() :])
    except InvalidSignature:
        raise Refused(Kind.SIGNATURE, "it is not signed with the operator's key, or was changed since") from None
    return read(data)


def read(data: bytes) -> Manifest:
    """What is in it, whoever signed it.

    Raises: Refused.
    """
    try:
        manifest = msgspec.json.decode(data.partition(b"\n")[2], type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        raise Refused(Kind.MALFORMED, f"it makes no sense: {wrong}") from None
    check(manifest)
    return manifest


def check(manifest: Manifest) -> None:
    """
    Raises: Refused.
    """
    files = manifest.files
    if manifest.format != FORMAT:
        raise Refused(Kind.FORMAT, f"format {manifest.format} in a manifest of format {FORMAT}")
    if len(files) > FILES_MAX:
        raise Refused(Kind.TOO_MUCH, f"{len(files)} files, at most {FILES_MAX}")
    for entry in files:
        _check_entry(entry)
    if (total := sum(entry.size for entry in files)) > TOTAL_BYTES_MAX:
        raise Refused(Kind.TOO_MUCH, f"{total} bytes in all, at most {TOTAL_BYTES_MAX}")
    _check_order(files)
    check_together(entry.path for entry in files)
    if manifest.version != version_of(files):
        raise Refused(Kind.MALFORMED, "its version is not that of its files")


def packed_size_max(size: int) -> int:
    """zlib makes nothing larger than this. Source: deflateBound."""
    return size + size // 1000 + 64


def public_key(text: str) -> PublicKey:
    """
    Raises: BadKey.
    """
    if _KEY.fullmatch(text) is None:
        raise BadKey("a bundle's key has 64 of 0-9 a-f; `kafra bundle key` shows it to the operator")
    return PublicKey(bytes.fromhex(text))


def public_text(key: PublicKey) -> str:
    """The same, for a file and for people."""
    return key.public_bytes_raw().hex()


def _check_entry(entry: Entry) -> None:
    check_path(entry.path)
    if entry.mode not in MODES:
        raise Refused(Kind.MALFORMED, f"mode {entry.mode:o}", about=entry.path)
    if entry.size > FILE_BYTES_MAX:
        raise Refused(Kind.TOO_MUCH, f"{entry.size} bytes, at most {FILE_BYTES_MAX}", about=entry.path)
    if entry.packed_size > packed_size_max(entry.size):
        raise Refused(Kind.TOO_MUCH, f"{entry.packed_size} bytes packed, {entry.size} bytes of file", about=entry.path)


def _check_order(files: Sequence[Entry]) -> None:
    for one, other in pairwise(files):
        if one.path >= other.path:
            raise Refused(Kind.PATH, "it is there twice, or the files are not in order", about=other.path)
