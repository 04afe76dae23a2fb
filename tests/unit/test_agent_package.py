"""In a package (deploy/package) there is no Python to start: a child ends with its parent all the same."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
Eventually = Callable[..., Awaitable[None]]
PARENT = """
import signal, subprocess, sys
sys.frozen = True
from libs.runtime.child import with_parent
child = subprocess.Popen(with_parent(["/bin/sleep", "60"], signal.SIGKILL))
print(child.pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("setpriv") is None, reason="Linux with util-linux")
async def test_a_child_of_a_packaged_agent_that_is_killed_ends_with_it(eventually: Eventually):
    argv = [sys.executable, "-c", PARENT]
    parent = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220 - it prints one line
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    await eventually(lambda: child.name() == "sleep")

    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()

    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
