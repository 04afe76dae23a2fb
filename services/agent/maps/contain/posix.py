"""Linux: the kernel kills the child when we are gone. Other systems: a group of its own, ended with us unless we are killed."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from libs.runtime.child import with_parent

if sys.platform != "win32":

    def command(argv: list[str]) -> list[str]:
        """SIGKILL, not SIGTERM: its link ends with us, so it has nobody to save to, and one that is stopped ends too."""
        return with_parent(argv, signal.SIGKILL)

    def options() -> dict[str, Any]:
        return {"start_new_session": True}

    def hold(pid: int) -> None:
        """The launcher has seen to it."""

    def ask_to_end(pid: int) -> None:
        """Stopped processes hear nothing else before they go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)

    def kill(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def link(source: Path, target: Path) -> None:
        target.symlink_to(source)
