"""The directory a map-server is started in, made anew for each start from an unpacked bundle, which itself stays as it is.

In: a bundle's directory (`kafra bundle`): map-server, conf/, db/, npc/. Out: a private directory with its own conf/, links to
the bundle's db/ and map-server, and an npc/ that lists what the one map needs: npc/re/scripts_main.conf is a name fixed in
rAthena. The program is linked because rAthena's servers go to the directory they were started by.
"""

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from libs.events import MapName
from libs.rathena.conf import FILE_BYTES_MAX, BadConf, read_conf
from services.agent.maps import scripts
from services.agent.maps.conf import PACKET_CONF, Asked, files, packet_conf
from services.agent.maps.contain import link

PROGRAM: Final = "map-server.exe" if sys.platform == "win32" else "map-server"
DIRECTORIES: Final = ("conf", "db", "npc")
SCRIPT_LIST: Final = "scripts_main.conf"
MODES: Final = ("re", "pre-re")
"""Renewal or not: either has its own list of scripts."""
SCRIPT_BYTES_MAX: Final = 8 << 20
PRIVATE: Final = 0o700


class BadBundle(Exception):
    """Not what a bundle is. Give up; the text says what is missing."""


@dataclass(frozen=True)
class Bundle:
    """root: where it is unpacked. program: what to start."""

    root: Path
    program: Path
    _needed: dict[MapName, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def at(cls, directory: Path) -> "Bundle":
        """
        Raises:
            BadBundle: something is missing.
        """
        root = directory.absolute()
        for name in DIRECTORIES:
            if not (root / name).is_dir():
                raise BadBundle(f"{root}: no bundle: the directory {name} is missing")
        if not (root / PROGRAM).is_file():
            raise BadBundle(f"{root}: no bundle: {PROGRAM} is missing")
        if not os.access(root / PROGRAM, os.X_OK):
            raise BadBundle(f"{root / PROGRAM} may not be executed")
        return cls(root, root / PROGRAM)

    def script_lists(self, map_: MapName) -> dict[str, str]:
        """Mode -> its scripts_main.conf for this map. Read once: a bundle does not change.

        Raises:
            BadBundle: its lists cannot be read.
        """
        if map_ not in self._needed:
            try:
                self._needed[map_] = {mode: self._pruned(mode, map_) for mode in MODES if self._list(mode).is_file()}
            except BadConf as bad:
                raise BadBundle(f"{self.root}: {bad}") from None
        return self._needed[map_]

    def _list(self, mode: str) -> Path:
        return self.root / "npc" / mode / SCRIPT_LIST

    def _pruned(self, mode: str, map_: MapName) -> str:
        listed = read_conf(f"npc/{mode}/{SCRIPT_LIST}", lambda name: self._read(name, FILE_BYTES_MAX))
        return scripts.conf(scripts.pruned(listed, map_, lambda name: self._read(name, SCRIPT_BYTES_MAX)))

    def _read(self, name: str, most: int) -> bytes | None:
        path = self.root / os.fsdecode(name.encode("latin-1"))
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(most + 1)


def make(directory: Path, bundle: Bundle, asked: Asked) -> None:
    """Whatever was there is gone. In a thread: it reads the bundle's scripts, once for each map.

    Raises:
        BadBundle: what it needs is not in it.
        OSError: no room, no permission.
    """
    lists = bundle.script_lists(asked.map)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=PRIVATE, parents=True)
    shutil.copytree(bundle.root / "conf", directory / "conf", copy_function=shutil.copyfile)
    link(bundle.root / "db", directory / "db")
    link(bundle.program, directory / PROGRAM)
    _npc(bundle.root / "npc", directory / "npc", lists)
    packet_path = directory / PACKET_CONF
    bundled = packet_path.read_text(encoding="latin-1") if packet_path.is_file() else ""
    _write(packet_path, packet_conf(bundled))
    for name, text in files(asked).items():
        _write(directory / name, text)


def _npc(source: Path, target: Path, lists: dict[str, str]) -> None:
    """The bundle's, but for the lists of scripts."""
    target.mkdir()
    for entry in source.iterdir():
        if entry.name in MODES:
            _npc(entry, target / entry.name, {})
        elif entry.is_dir():
            link(entry, target / entry.name)
        elif entry.is_file():
            shutil.copyfile(entry, target / entry.name)
    for mode, text in lists.items():
        _write(target / mode / SCRIPT_LIST, text)


def _write(path: Path, text: str) -> None:
    """For this user alone: it may hold a password."""
    path.parent.mkdir(mode=PRIVATE, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="latin-1", newline="\n") as file:
        file.write(text)
