"""Where an agent keeps what outlives it, and by which the player's commands find it.

<data>/bundle/             bundles (bundle_store.py)
<data>/agent/host-<id>/    ours alone (0700):
    running.json           where the agent of this host listens, its token, its process
    paused.json            the player's word, while it holds
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import psutil

from libs.events import HostId
from libs.link.tls import write_secret
from services.agent.pausing import Word

ADDRESS: Final = "127.0.0.1"
"""Where the page is: for this machine alone."""
PREFIX: Final = "host-"
"""A host may be named as a device of Windows is."""
FILE_BYTES_MAX: Final = 4096
SAME_START_S: Final = 2.0
"""A process that began otherwise than the file says got its number later."""
T = TypeVar("T")


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """port: of the page, on ADDRESS. token: who shows it may command. began_s: of the process, as `began_s` says it."""

    host: HostId
    pid: int
    began_s: float
    port: int
    token: str

    @property
    def lives(self) -> bool:
        """Its process is there, and is the one it was."""
        try:
            return abs(began_s(psutil.Process(self.pid)) - self.began_s) <= SAME_START_S
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False


def began_s(process: psutil.Process) -> float:
    """When it began: since the boot on Linux, whose other figure moves when the clock is set; elsewhere Unix. Raises:
    psutil.Error."""
    since_s = psutil.boot_time() if sys.platform == "linux" else 0.0
    return process.create_time() - since_s


def data_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a player's machine keeps such data."""
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "kafra"
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "kafra"


class Place:
    """Of one host. Reading never fails: what cannot be read is not there."""

    def __init__(self, host: HostId, root: Path | None = None) -> None:
        self.host = host
        self.directory = (root or data_root()) / "agent" / f"{PREFIX}{host}"

    def running(self) -> Running | None:
        """Its agent, if it runs; a file left by one that was killed is none."""
        found = _read(self.directory / "running.json", Running)
        return found if found is not None and found.host == self.host and found.lives else None

    def set_running(self, running: Running) -> None:
        """Raises: OSError."""
        self._write("running.json", running)

    def clear_running(self, pid: int) -> None:
        """Unless it is another's by now. Raises: OSError."""
        found = _read(self.directory / "running.json", Running)
        if found is not None and found.pid == pid:
            (self.directory / "running.json").unlink(missing_ok=True)

    def word(self) -> Word | None:
        return _read(self.directory / "paused.json", Word)

    def set_word(self, word: Word | None) -> None:
        """Raises: OSError."""
        if word is not None:
            self._write("paused.json", word)
        else:
            (self.directory / "paused.json").unlink(missing_ok=True)

    def _write(self, name: str, value: object) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(self.directory / name, msgspec.json.encode(value))


def hosts_here(root: Path | None = None) -> Iterator[Running]:
    """Every agent of this user that runs here."""
    for directory in sorted(((root or data_root()) / "agent").glob(f"{PREFIX}*")):
        if (running := Place(HostId(directory.name.removeprefix(PREFIX)), root).running()) is not None:
            yield running


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
