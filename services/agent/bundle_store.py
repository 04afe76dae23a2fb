"""Where an agent keeps bundles. Versions share their files; the current one is switched in one step, while nothing runs.

    current                 the version that is run
    seen.json               per key of an operator: the newest sequence whose signature held, and its manifest's hash
    files/ab/ab12..., ...x  contents by SHA-256, x for programs
    versions/ID/manifest    as it was signed; versions/ID/tree/... its files, linked
    part/                   what is being fetched
    fetching, serving       locks

Whatever ends the agent, there is either the whole of a version or none of it: a version gets its name when all is in place.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from libs.bundle.manifest import MODES, VERSION_CHARACTERS, Entry, Manifest, read
from libs.bundle.refusal import Refused
from services.agent.bundle_lock import held
from services.agent.bundle_report import Busy
from services.agent.places import data_root

KEPT: Final = 3
"""Versions, the current one included: the operator may go back to one, and hosts need not fetch it again."""
KEYS_MAX: Final = 16
"""Operators remembered."""
_PROGRAM: Final = MODES[1]
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS})


class Seen(msgspec.Struct, frozen=True):
    """The newest manifest of a key."""

    sequence: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Version:
    """One bundle, whole. id: what host.metrics says as `bundle`. tree: its directory."""

    id: str
    tree: Path
    manifest: Manifest


class Store:
    """Raises of all that touches the disk: OSError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parts = root / "part"

    def current(self) -> Version | None:
        """What is run; None before the first, or where it was damaged."""
        try:
            name = (self.root / "current").read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        return self.version(name)

    def versions(self) -> list[Version]:
        """The newest first."""
        names = sorted(path.name for path in self._versions.glob("*"))
        found = [version for name in names if (version := self.version(name)) is not None]
        return sorted(found, key=lambda version: version.manifest.sequence, reverse=True)

    def version(self, name: str) -> Version | None:
        """None where it is not there, or its manifest cannot be read."""
        if len(name) != VERSION_CHARACTERS or not name.isalnum():
            return None
        at = self._versions / name
        try:
            manifest = read((at / "manifest").read_bytes())
        except (FileNotFoundError, Refused):
            return None
        return Version(name, at / "tree", manifest) if manifest.version == name and (at / "tree").is_dir() else None

    def switch(self, version: Version) -> bool:
        """From now on this one is current. False, and nothing changes, while maps are served."""
        with held(self.root / "serving") as is_ours:
            if is_ours:
                self._write(self.root / "current", version.id.encode())
            return is_ours

    @contextmanager
    def serving(self) -> Iterator[Version | None]:
        """For as long as map-servers run from the current version, once for all of them: nobody switches meanwhile.

        Raises: Busy, where another agent serves from this store.
        """
        with held(self.root / "serving") as is_ours:
            if not is_ours:
                raise Busy(f"another agent serves maps from {self.root}")
            yield self.current()

    @contextmanager
    def fetching(self) -> Iterator[bool]:
        """False where another process fetches."""
        with held(self.root / "fetching") as is_ours:
            yield is_ours

    def seen(self, key: str) -> Seen | None:
        return self._all_seen().get(key)

    def see(self, key: str, seen: Seen) -> None:
        others = {name: known for name, known in self._all_seen().items() if name != key}
        kept = dict(list(others.items())[-(KEYS_MAX - 1) :]) | {key: seen}
        self._write(self.root / "seen.json", msgspec.json.encode(kept))

    def lacks(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those whose content is not here, or is damaged: each content once. Reads everything."""
        asked: dict[str, Entry] = {self._name(entry): entry for entry in entries}
        return [entry for name, entry in asked.items() if not _is(self._content(name), entry)]

    def part(self, entry: Entry) -> Path:
        self.parts.mkdir(parents=True, exist_ok=True)
        return self.parts / entry.packed_sha256

    def put(self, entry: Entry, write: Callable[[Entry, Path], None]) -> None:
        """A content in its place. write(entry, path): makes it there, or raises where it is not what was signed."""
        at = self._content(self._name(entry))
        at.parent.mkdir(parents=True, exist_ok=True)
        beside = self.parts / f"{at.name}.new"
        try:
            write(entry, beside)
            beside.chmod(0o555 if entry.mode == _PROGRAM else 0o444)
            _replace(beside, at)
        finally:
            beside.unlink(missing_ok=True)

    def assemble(self, data: bytes, manifest: Manifest, entries: Sequence[Entry]) -> Version | None:
        """The version's directory, of contents that are all here. One that is whole stays; one that is not is made anew, and
        None says that it has to wait for that because maps are served."""
        at = self._versions / manifest.version
        if all(_is(at / "tree" / entry.path, entry) for entry in entries):
            if self.version(manifest.version) is None or (at / "manifest").read_bytes() != data:
                self._write(at / "manifest", data)
            return Version(manifest.version, at / "tree", manifest)
        if not at.exists():
            return self._link_all(data, manifest, entries)
        with held(self.root / "serving") as is_ours:
            return self._link_all(data, manifest, entries) if is_ours else None

    def damaged(self, version: Version, entries: Iterable[Entry]) -> str | None:
        """The first of its files that is not what was signed. Reads everything."""
        return next((entry.path for entry in entries if not _is(version.tree / entry.path, entry)), None)

    def _link_all(self, data: bytes, manifest: Manifest, entries: Sequence[Entry]) -> Version:
        at = self._versions / manifest.version
        beside = self._versions / f".{manifest.version}"
        _remove(beside)
        for entry in entries:
            to = beside / "tree" / entry.path
            to.parent.mkdir(parents=True, exist_ok=True)
            _link(self._content(self._name(entry)), to)
        (beside / "manifest").write_bytes(data)
        _remove(at)
        beside.rename(at)
        return Version(manifest.version, at / "tree", manifest)

    def clean(self, fetched: Manifest | None = None) -> None:
        """Removes versions beyond the newest KEPT and the current one, and all that no version names. fetched: what of it is
        here stays, though it is no version yet."""
        versions, current = self.versions(), self.current()
        kept = versions[:KEPT] if current is None or current in versions[:KEPT] else [*versions[: KEPT - 1], current]
        names = {version.id for version in kept}
        for path in self._versions.glob("*"):
            if path.name not in names:
                _remove(path)
        contents = {self._name(entry) for version in kept for entry in version.manifest.files}
        contents |= {self._name(entry) for entry in (fetched.files if fetched else ())}
        for path in (self.root / "files").glob("*/*"):
            if path.name not in contents:
                _remove(path)
        parts = {entry.packed_sha256 for entry in (fetched.files if fetched else ())}
        for path in self.parts.glob("*"):
            if path.name not in parts:
                _remove(path)

    @property
    def _versions(self) -> Path:
        return self.root / "versions"

    def _all_seen(self) -> Mapping[str, Seen]:
        try:
            return msgspec.json.decode((self.root / "seen.json").read_bytes(), type=dict[str, Seen])
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}

    def _name(self, entry: Entry) -> str:
        return f"{entry.sha256}x" if entry.mode == _PROGRAM else entry.sha256

    def _content(self, name: str) -> Path:
        return self.root / "files" / name[:2] / name

    def _write(self, path: Path, data: bytes) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.new")
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


def default_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a player's machine keeps bundles."""
    return data_root(environ) / "bundle"


def _is(path: Path, entry: Entry) -> bool:
    """A plain file with this content, size and mode."""
    try:
        if path.is_symlink() or path.stat().st_size != entry.size:
            return False
        with path.open("rb") as file:
            digest = sha256(file.read(entry.size + 1)).hexdigest()
    except OSError:
        return False
    return digest == entry.sha256 and (os.name != "posix" or os.access(path, os.X_OK) == (entry.mode == _PROGRAM))


def _link(content: Path, to: Path) -> None:
    """A second name for it; a copy where the disk has no such thing."""
    try:
        os.link(content, to)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy(content, to)


def _replace(path: Path, to: Path) -> None:
    """Windows replaces no file that is read-only."""
    if os.name == "nt" and to.exists():
        to.chmod(0o644)
    path.replace(to)


def _remove(path: Path) -> None:
    """As much of it as goes: what is open on Windows goes the next time."""
    if path.is_dir() and not path.is_symlink():
        for below in path.iterdir():
            _remove(below)
        with suppress(OSError):
            path.rmdir()
        return
    with suppress(OSError):
        if os.name == "nt":
            path.chmod(0o644)
        path.unlink(missing_ok=True)
