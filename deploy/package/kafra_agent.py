"""The package's program: `kafra-agent ...` is `kafra agent ...`; so is `kafra-agent agent ...`, since our texts say it so."""

import ctypes
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from libs.runtime.child import PR_SET_PDEATHSIG
from services.agent.__main__ import main

LIBRARIES = "LD_LIBRARY_PATH"
MARK = "kafra-agent.pid"
"""In each directory that our program was unpacked into: whose it is."""


def unpacked() -> None:
    """What the unpacking did to this process is undone: map-servers have libraries of their own, and who kills the program that
    unpacked us, whose process is another, means us, and now. It hands on every signal that can be handed on."""
    if (before := os.environ.pop(f"{LIBRARIES}_ORIG", None)) is not None:
        os.environ[LIBRARIES] = before
    else:
        os.environ.pop(LIBRARIES, None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def tidy(own: Path) -> None:
    """Who is killed leaves what he was unpacked into, 30 MB; the next one removes it. own: this program's."""
    with suppress(OSError):
        (own / MARK).write_text(str(os.getpid()), encoding="ascii")
    for left in own.parent.glob(f"_MEI*/{MARK}"):
        with suppress(OSError, ValueError):
            is_ours = os.name != "posix" or left.stat().st_uid == os.getuid()
            if left.parent != own and is_ours and not psutil.pid_exists(int(left.read_text(encoding="ascii"))):
                shutil.rmtree(left.parent, ignore_errors=True)


if __name__ == "__main__":
    if getattr(sys, "frozen", False):
        unpacked()
        tidy(Path(sys._MEIPASS))  # type: ignore[attr-defined]  # PyInstaller's
    words = sys.argv[1:]
    sys.exit(main(words[1:] if words[:1] == ["agent"] else words))
