"""Packs, signs and lays out a bundle: a directory of static files that any web server can serve.

    manifest.kafra          the newest; replaced in one step, after everything it names is there
    objects/ab/ab12...      zlib streams by their own SHA-256; versions share them
    before/SEQUENCE         manifests before it, the last KEPT - 1: who is still fetching one finds its objects

Whatever ends a run in between leaves the manifest that was there, and objects the next run uses or removes.
"""

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from libs.bundle.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    Entry,
    Manifest,
    object_name,
    opened,
    read,
    sealed,
    version_of,
)
from libs.bundle.refusal import Refused
from libs.ed25519 import PrivateKey
from services.agent.bundle_lock import held
from services.ops.bundle.contents import CannotBundle, Content

OBJECTS, BEFORE, LOCK = "objects", "before", ".making"
KEPT: Final = 3
"""Manifests whose objects stay, the newest included."""
LEVEL: Final = 9
Step = Callable[[int], None]


@dataclass(frozen=True)
class Made:
    """is_new: False where the directory had these very files already; nothing was written then."""

    manifest: Manifest
    is_new: bool
    objects_written: int
    bytes_written: int


def make(out: Path, files: Sequence[Content], name: str, key: PrivateKey, now_ms: int, step: Step = lambda _: None) -> Made:
    """step(bytes): of files that are packed. The sequence is the time in seconds, and at least one more than the last: so it
    grows even where the directory got lost.

    Raises: CannotBundle, Refused (no agent would take it), OSError.
    """
    with held(out / LOCK) as is_ours:
        if not is_ours:
            raise CannotBundle(f"{out}: another run makes it just now")
        return _make(out, files, name, key, now_ms, step)


def _make(out: Path, files: Sequence[Content], name: str, key: PrivateKey, now_ms: int, step: Step) -> Made:
    last = _last(out, key)
    known = {entry.sha256: entry for entry in (last.files if last else ())}
    written: list[int] = []
    entries = []
    for content in sorted(files, key=lambda content: content.path):
        entries.append(_pack(out, content, known, written))
        step(len(content.data))
    version = version_of(entries)
    if last is not None and (last.version, last.name) == (version, name):
        return Made(last, False, len(written), sum(written))
    sequence = max(now_ms // 1000, last.sequence + 1 if last else 1)
    manifest = Manifest(name=name, version=version, sequence=sequence, created_at_ms=now_ms, files=tuple(entries))
    data = sealed(manifest, key)
    if last is not None:
        _write(out / BEFORE / str(last.sequence), (out / MANIFEST_NAME).read_bytes())
    _write(out / MANIFEST_NAME, data)
    _clean(out, manifest)
    return Made(manifest, True, len(written), sum(written))


def objects_missing(directory: Path, manifest: Manifest) -> list[str]:
    """Paths of the files whose object is not there, or not whole."""

    def is_there(entry: Entry) -> bool:
        at = directory / entry.object_name
        return at.is_file() and at.stat().st_size == entry.packed_size and _digest(at.read_bytes()) == entry.packed_sha256

    return [entry.path for entry in manifest.files if not is_there(entry)]


def read_manifest(path: Path) -> bytes:
    """Raises: OSError."""
    with path.open("rb") as file:
        return file.read(MANIFEST_BYTES_MAX + 1)


def _last(out: Path, key: PrivateKey) -> Manifest | None:
    """What is there already. Another's is not overwritten."""
    at = out / MANIFEST_NAME
    if not at.is_file():
        if out.is_dir() and any(path.name != LOCK for path in out.iterdir()) and not (out / OBJECTS).is_dir():
            raise CannotBundle(f"{out}: there is something else in it; a bundle wants a directory of its own")
        return None
    try:
        return opened(read_manifest(at), key.public_key())
    except Refused as refused:
        raise CannotBundle(f"{at}: {refused}. Was it made with another key? Then use that, or another directory.") from None


def _pack(out: Path, content: Content, known: dict[str, Entry], written: list[int]) -> Entry:
    """Its object is in place when this returns. written: bytes of each new object. known: packed before, by another zlib
    perhaps; what is the same is not packed anew, so that hosts need not fetch it anew."""
    digest = _digest(content.data)
    before = known.get(digest)
    if before is not None and (at := out / before.object_name).is_file() and at.stat().st_size == before.packed_size:
        size, packed_digest = before.packed_size, before.packed_sha256
    else:
        packed = zlib.compress(content.data, LEVEL)
        size, packed_digest = len(packed), _digest(packed)
        if not (at := out / object_name(packed_digest)).is_file() or at.stat().st_size != size:
            _write(at, packed)
            written.append(size)
    return Entry(
        path=content.path,
        size=len(content.data),
        mode=content.mode,
        sha256=digest,
        packed_size=size,
        packed_sha256=packed_digest,
        platform=content.platform,
    )


def _clean(out: Path, newest: Manifest) -> None:
    """Manifests before the last few, and objects that none left names."""
    older = sorted((path for path in (out / BEFORE).glob("*") if path.name.isdigit()), key=lambda path: int(path.name))
    for path in older[: -(KEPT - 1)]:
        path.unlink(missing_ok=True)
    named = {entry.packed_sha256 for entry in newest.files}
    for path in older[-(KEPT - 1) :]:
        named.update(_named(path))
    for path in (out / OBJECTS).glob("*/*"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _named(path: Path) -> Iterator[str]:
    try:
        yield from (entry.packed_sha256 for entry in read(read_manifest(path)).files)
    except Refused:
        return  # of a later format: its objects are another Kafra's to keep


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all; readable by the web server."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(0o644)
    beside.replace(path)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
