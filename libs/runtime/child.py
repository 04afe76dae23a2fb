"""A child process that ends when its parent is gone, however that ended. Linux; elsewhere nothing is added."""

import os
import shutil
import signal
import sys

PR_SET_PDEATHSIG = 1

_LAUNCHER = f"""
import ctypes, os, sys
ctypes.CDLL(None, use_errno=True).prctl({PR_SET_PDEATHSIG}, int(sys.argv[1]), 0, 0, 0)
if os.getppid() != int(sys.argv[2]):
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The signal is asked for, then the program. A program of its own, since code between fork and exec may hang in a process with
threads. libs/bus/embedded.py has the same for its server: the bus lies below this room."""


def with_parent(argv: list[str], death_signal: signal.Signals) -> list[str]:
    """What to start instead of argv, whose first word is a path. The signal comes when the *thread* that started it ends: start
    from the main thread."""
    if sys.platform != "linux":
        return argv
    if getattr(sys, "frozen", False):  # a package (deploy/package) has no Python to start; util-linux has the same as a program
        setpriv = shutil.which("setpriv")
        return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *argv] if setpriv else argv
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(int(death_signal)), str(os.getpid()), *argv]
