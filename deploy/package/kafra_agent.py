"""The package's program: `kafra-agent ...` is `kafra agent ...`."""

import ctypes
import os
import signal
import sys

from libs.runtime.child import PR_SET_PDEATHSIG
from services.agent.__main__ import main

LIBRARIES = "LD_LIBRARY_PATH"


def unpacked() -> None:
    """What the unpacking did to this process is undone: map-servers have libraries of their own, and who kills the program that
    unpacked us, whose process is another, means us."""
    if (before := os.environ.pop(f"{LIBRARIES}_ORIG", None)) is not None:
        os.environ[LIBRARIES] = before
    else:
        os.environ.pop(LIBRARIES, None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


if __name__ == "__main__":
    if getattr(sys, "frozen", False):
        unpacked()
    sys.exit(main(sys.argv[1:]))
