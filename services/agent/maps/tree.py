"""The directory a map-server is started in, made anew for each start from an unpacked bundle, which itself stays as it is.

In: a bundle's directory (`kafra bundle`): map-server, conf/, db/, npc/. Out: a private directory with a conf/ of its own and
links to the rest. The program is linked because rAthena's servers go to the directory they were started by.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.agent.maps.conf import BUNDLED_CONF, PACKET_CONF, Asked, files, packet_conf
from services.agent.maps.contain import link

PROGRAM: Final = "map-server.exe" if sys.platform == "win32" else "map-server"
DIRECTORIES: Final = ("conf", "db", "npc")
LIBRARIES: Final = "lib"
"""Of the bundle, for its map-server; it need not be there."""
PRIVATE: Final = 0o700


class BadBundle(Exception):
    """Not what a bundle is. Give up; the text says what is missing."""


@dataclass(frozen=True)
class Bundle:
    """root: where it is unpacked. program: what to start."""

    root: Path
    program: Path

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


def make(directory: Path, bundle: Bundle, asked: Asked) -> None:
    """Whatever was there is gone. In a thread: it copies some forty files.

    Raises:
        OSError: no room, no permission, the bundle is gone.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=PRIVATE, parents=True)
    shutil.copytree(bundle.root / "conf", directory / "conf", copy_function=shutil.copyfile)
    for entry in bundle.root.iterdir():
        if entry.name == PROGRAM or (entry.is_dir() and entry.name != "conf"):
            link(entry, directory / entry.name)
    packet_path = directory / PACKET_CONF
    bundled = packet_path.read_text(encoding="latin-1") if packet_path.is_file() else ""
    _write(packet_path, packet_conf(bundled))
    for name, text in files(asked, bundled=(directory / BUNDLED_CONF).is_file()).items():
        _write(directory / name, text)


def _write(path: Path, text: str) -> None:
    """For this user alone: it may hold a password."""
    path.parent.mkdir(mode=PRIVATE, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="latin-1", newline="\n") as file:
        file.write(text)
