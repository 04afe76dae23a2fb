"""The agent as one file (deploy/package): its recipe leaves nothing out that the agent imports, and where there is no Python to
start, a child ends with its parent all the same. Building and running it is a row of `make prove` (bench/packaging.py).
"""

import importlib.util
import json
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
RECIPE = """
import types
said = {}
def Analysis(scripts, **rest):
    said.update(rest, script=scripts[0])
    return types.SimpleNamespace(pure=[], scripts=[], binaries=[], datas=[])
path = "deploy/package/kafra-agent.spec"
names = {"SPECPATH": "deploy/package", "Analysis": Analysis, "PYZ": lambda *_: None, "EXE": lambda *_, **__: None}
exec(compile(open(path).read(), path, "exec"), names)
"""
"""`said`: what the recipe tells PyInstaller."""
FOUND = f"""{RECIPE}
import json, modulefinder
finder = modulefinder.ModuleFinder(excludes=said["excludes"])
finder.run_script(said["script"])
for name in said["hiddenimports"]:
    finder.import_hook(name)
print(json.dumps(sorted(finder.modules)))
"""
"""What is found by reading the code, as PyInstaller does."""
LOADED = f"""{RECIPE}
import importlib, json, pkgutil, sys
class Left:
    def find_spec(self, name, path=None, target=None):
        if any(name == out or name.startswith(out + ".") for out in said["excludes"]):
            raise ModuleNotFoundError(f"the package has no {{name}}", name=name)
sys.meta_path.insert(0, Left())
import services.agent
for module in pkgutil.walk_packages(services.agent.__path__, "services.agent."):
    if not module.name.endswith(("windows", "__main__")):
        importlib.import_module(module.name)
specs = {{name: getattr(module, "__spec__", None) for name, module in sys.modules.items()}}
print(json.dumps([name for name, spec in specs.items() if spec and spec.name == name and spec.has_location]))
"""
"""What running it loads, where nothing is that the recipe leaves out."""
UNPACKER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
input()
"""
UNPACKED = """
import runpy, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
runpy.run_path("deploy/package/kafra_agent.py", run_name="packaged")["unpacked"]()
print("ready", flush=True)
time.sleep(60)
"""
"""An agent hears SIGTERM as a wish, and says goodbye for a while."""
NOT_ASKED = ("__editable__", "_distutils_hack", "_sysconfigdata", "encodings")
"""Of this Python's own set-up, or PyInstaller's own care."""
Eventually = Callable[..., Awaitable[None]]
PARENT = """
import signal, subprocess, sys
sys.frozen = True
from libs.runtime.child import with_parent
child = subprocess.Popen(with_parent(["/bin/sleep", "60"], signal.SIGKILL))
print(child.pid, flush=True)
input()
"""


def test_the_recipe_leaves_nothing_out_that_the_agent_imports():
    """One module that only a library in C asks for, by name, was missing once, and every command ended with a stack trace."""
    found, loaded = (
        set(
            json.loads(
                subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=120).stdout
            )
        )
        for code in (FOUND, LOADED)
    )

    assert {"nacl.signing", "nkeys", "msgspec", "psutil", "aiohttp", "services.agent.maps.servers"} <= loaded
    assert [name for name in sorted(loaded - found) if not name.startswith(NOT_ASKED)] == []


def test_what_a_killed_agent_was_unpacked_into_is_removed_by_the_next(tmp_path: Path):
    spec = importlib.util.spec_from_file_location("packaged", ROOT / "deploy" / "package" / "kafra_agent.py")
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    own, killed, lives, other = (tmp_path / f"_MEI{name}" for name in ("own", "killed", "lives", "other"))
    for directory in (own, killed, lives, other):
        directory.mkdir()
        (directory / "library.so").touch()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (killed / program.MARK).write_text(str(ended.pid))
    (lives / program.MARK).write_text(str(os.getppid()))

    program.tidy(own)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["_MEIlives", "_MEIother", "_MEIown"]
    assert (own / program.MARK).read_text() == str(os.getpid())


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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
async def test_the_program_ends_with_the_process_that_unpacked_it(eventually: Eventually):
    """That one is what a player sees and kills."""
    argv = [sys.executable, "-c", UNPACKER, UNPACKED]
    unpacker = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: ASYNC220 - it prints one line
    assert unpacker.stdout is not None
    program = psutil.Process(int(unpacker.stdout.readline()))

    os.kill(unpacker.pid, signal.SIGKILL)
    unpacker.communicate()

    await eventually(lambda: not program.is_running() or program.status() == psutil.STATUS_ZOMBIE)
