"""A small bundle on disk, signed with a key of the test's own, and a store to fetch it into."""

import os
from collections.abc import Mapping
from pathlib import Path

from libs.bundle.manifest import MANIFEST_NAME, Entry, Manifest, opened, public_text, version_of
from libs.ed25519 import PrivateKey
from services.agent.bundle_store import Store
from services.ops.bundle.contents import Content
from services.ops.bundle.making import Made, make

KEY = PrivateKey(bytes(range(32)))
PUBLIC = public_text(KEY.public_key())
OTHER_KEY = PrivateKey(bytes(32))
NOW_MS = 1_800_000_000_000
PROGRAM = b"#!/bin/sh\necho ready\n"
FILES: Mapping[str, bytes] = {
    "map-server": PROGRAM,
    "db/mob_db.yml": b"Body:\n  - Id: 1002\n    AegisName: PORING\n",
    "npc/re/scripts_main.conf": b"npc: npc/fields.txt\n",
    "npc/fields.txt": b"moc_fild01,0,0\tmonster\tPoring\t1002,70\n",
    "conf/copy.yml": b"Body:\n  - Id: 1002\n    AegisName: PORING\n",
}
"""The last has the content of the second."""

BIG = os.urandom(300_000)
"""Nothing packs it."""


def publish(
    out: Path, files: Mapping[str, bytes] = FILES, *, key: PrivateKey = KEY, now_ms: int = NOW_MS, name: str = "test"
) -> Made:
    contents = [Content(path, data, 0o755 if path == "map-server" else 0o644) for path, data in files.items()]
    return make(out, contents, name, key, now_ms)


def entry(path: str, **fields: object) -> Entry:
    """A file that is right, but for `fields`."""
    values: dict[str, object] = {
        "path": path, "size": 3, "mode": 0o644, "sha256": "0" * 64, "packed_size": 11, "packed_sha256": "1" * 64,
    }  # fmt: skip
    return Entry(**(values | fields))


def manifest(*files: Entry, **fields: object) -> Manifest:
    """Of these files, in order, with the version that is theirs, but for `fields`."""
    values: dict[str, object] = {
        "name": "test", "version": version_of(files), "sequence": 7, "created_at_ms": NOW_MS, "files": files,
    }  # fmt: skip
    return Manifest(**(values | fields))


def tree_of(root: Path) -> dict[str, bytes]:
    """Path -> content, of all below."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def manifest_of(out: Path) -> Manifest:
    return opened((out / MANIFEST_NAME).read_bytes(), KEY.public_key())


def object_of(out: Path, path: str) -> str:
    """Where the packed file lies, below out."""
    return next(entry.object_name for entry in manifest_of(out).files if entry.path == path)


def assert_nothing_half_used(store: Store) -> None:
    """Every version is whole, and every content is what its name says."""
    for version in store.versions():
        assert store.lacks(version.manifest.files) == []
        assert {entry.path for entry in version.manifest.files} == set(tree_of(version.tree))
    assert not list(store.root.glob("*/*.new"))
