"""The operator's bundle on a player's machine: `fetch` brings the newest, `current` is what map-servers are run from.

In: an address, the operator's public key, a store. Out: a directory; or a reason why not (bundle_report), and then what was
current stays so. Called by bundle_keeper and bundle_command. What is trusted, and why: docs/adr/0021.
"""

import asyncio
import errno
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from libs.bundle.manifest import Entry, Manifest, opened, public_key, public_text
from libs.bundle.refusal import Kind, Refused
from libs.ed25519 import PublicKey
from services.agent.bundle_download import AT_ONCE, Gone, Part, Source, bare, open_source, to_its_end
from services.agent.bundle_report import BundleRefused, Busy, NoRoom, Unavailable, evidence_of
from services.agent.bundle_store import Seen, Store, Version

TOTAL_S: Final = 3600.0
"""For one fetch; what came stays for the next."""
ROOM_BYTES: Final = 64 << 20
"""Left free on the player's disk, whatever a bundle needs."""
PROGRAMS: Final = frozenset({"map-server", "map-server.exe"})
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Progress:
    """What a fetch is at. done, total: bytes that travel."""

    what: str
    done: int = 0
    total: int = 0


Tell = Callable[[Progress], None]


def current(store: Store) -> Version | None:
    """What map-servers are run from, within `store.serving()`; its id is `bundle` of host.metrics. Raises: OSError."""
    return store.current()


async def fetch(url: str, key: str, store: Store, tell: Tell = lambda _: None, ca: Path | None = None) -> Path:
    """The current version's tree, after the newest bundle was fetched, verified file by file, and made current. While maps are
    served it waits for `settle`, and the path is that of the one before. key: the operator's, 64 hex digits.
    ca: file of a further authority that https may show.

    Raises: BadKey; BundleRefused with evidence, Unavailable, NoRoom, Busy, after which what was current still is.
    """
    public = public_key(key)
    try:
        with store.fetching() as is_ours:
            if not is_ours:
                raise Busy(f"another process fetches into {store.root}")
            async with asyncio.timeout(TOTAL_S), open_source(url, ca) as source:
                return await _Fetch(source, public, store, tell).run()
    except TimeoutError:
        raise Unavailable(f"{bare(url)}: not done after {TOTAL_S:g} s; what came is kept") from None
    except OSError as error:
        raise _no_room(error, store) from None


def settle(store: Store, key: str) -> Version | None:
    """Makes the newest version that this operator signed current, unless maps are served. Returns: what is current then.

    Raises: BadKey, OSError.
    """
    public = public_key(key)
    newest = next((version for version in store.versions() if is_signed(version, public)), None)
    if newest is not None and (now := store.current()) != newest and (now is None or now.id != newest.id):
        store.switch(newest)
    return store.current()


def platform_name() -> str:
    """Of this machine, as manifests name it."""
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
    machine = platform.machine().lower()
    return f"{system}-{_MACHINES.get(machine, machine)}"


class _Fetch:
    """One fetch, with the store's lock held."""

    def __init__(self, source: Source, key: PublicKey, store: Store, tell: Tell) -> None:
        self._source, self._key, self._store, self._tell = source, key, store, tell
        self._manifest: Manifest | None = None
        self._had_sequence: int | None = None

    async def run(self) -> Path:
        try:
            data = await self._look()
            try:
                return await self._bring(data)
            except Gone:
                # The operator may have put another there meanwhile: then that one, once.
                newer = await self._look()
                if newer == data:
                    raise
                return await self._bring(newer)
        except Refused as refused:
            evidence = evidence_of(refused, self._source.shown, time.time_ns() // 1_000_000)
            of = self._manifest
            raise BundleRefused(
                msgspec.structs.replace(
                    evidence,
                    version=of.version if of else None,
                    sequence=of.sequence if of else None,
                    had_sequence=self._had_sequence,
                )
            ) from None

    async def _look(self) -> bytes:
        """The newest manifest, after it was found to be so. Raises: Refused, Unavailable."""
        self._tell(Progress("asking for the newest"))
        data = await self._source.manifest()
        self._manifest = None
        manifest = self._manifest = opened(data, self._key)
        name, digest = public_text(self._key), sha256(data).hexdigest()
        if (seen := self._store.seen(name)) is not None:
            self._had_sequence = seen.sequence
            if manifest.sequence < seen.sequence:
                raise Refused(Kind.OLDER, f"sequence {manifest.sequence}, and {seen.sequence} was here already")
            if manifest.sequence == seen.sequence and digest != seen.sha256:
                raise Refused(Kind.FORKED, f"two manifests with sequence {seen.sequence}")
        self._store.see(name, Seen(manifest.sequence, digest))
        return data

    async def _bring(self, data: bytes) -> Path:
        """Raises: Refused, Unavailable, NoRoom, OSError."""
        manifest, store = self._manifest, self._store
        assert manifest is not None
        entries = manifest.for_platform(platform_name())
        if not any(entry.path in PROGRAMS for entry in entries):
            raise Unavailable(f"{self._source.shown}: no map-server for {platform_name()} in it; ask the operator for one")
        self._tell(Progress("looking at what is here"))
        await to_its_end(store.clean, manifest)
        missing = await to_its_end(store.lacks, entries)
        self._check_room(missing)
        await self._fetch_all(missing)
        self._tell(Progress("putting it together"))
        version = await to_its_end(store.assemble, data, manifest, entries)
        if version is not None:
            store.switch(version)
        await to_its_end(store.clean, manifest if version is None else None)
        if (now := store.current()) is None:
            raise Busy(f"maps are served from {store.root}")
        return now.tree

    async def _fetch_all(self, missing: Sequence[Entry]) -> None:
        """AT_ONCE at a time; the first that fails ends all, and what came of the others is kept."""
        total, done = sum(entry.packed_size for entry in missing), 0

        def told(size: int) -> None:
            nonlocal done
            done += size
            self._tell(Progress("fetching", done, total))

        async def work() -> None:
            for entry in left:
                await self._fetch_one(entry, told)

        left = iter(missing)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
        except ExceptionGroup as errors:
            refused, rest = errors.split(Refused)
            raise (refused or rest or errors).exceptions[0] from None

    async def _fetch_one(self, entry: Entry, told: Callable[[int], None]) -> None:
        part = Part(self._store.part(entry))
        await self._source.fetch(entry, part, told)
        await to_its_end(self._store.put, entry, part.unpack)
        part.drop()

    def _check_room(self, missing: Sequence[Entry]) -> None:
        """Before the first byte, so that a full disk is not found at its last."""
        needed = sum(entry.size + entry.packed_size for entry in missing) + (ROOM_BYTES if missing else 0)
        free = shutil.disk_usage(self._store.root).free
        if needed > free:
            raise NoRoom(f"{self._store.root}: {_mb(needed)} MB are needed, and {_mb(free)} MB are free on that disk")


def is_signed(version: Version, key: PublicKey) -> bool:
    """By whom this is the public key."""
    try:
        opened((version.tree.parent / "manifest").read_bytes(), key)
    except (OSError, Refused):
        return False
    return True


def _no_room(error: OSError, store: Store) -> NoRoom:
    if error.errno in _FULL:
        return NoRoom(f"{store.root}: the disk is full; what came is kept, make room and try again")
    return NoRoom(f"{error.filename or store.root}: {error.strerror or error}")


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f}"
