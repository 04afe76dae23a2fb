"""The kafra command as a process: `kafra(...)` to its end, `Up` for one that runs. Whatever happens, none of them is left."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
from harness import environ, until
from players import Players

from libs.bus.nats import connect
from libs.events import MapAssign

KAFRA = str(Path(sys.executable).parent / "kafra")
READY_S = 60.0
"""Bound for a loaded machine; a failure, not a measurement."""
COMMAND_S = 60.0
END_S = 30.0
POLL_S = 0.02
T = TypeVar("T")


def soon(condition: Callable[[], T], what: str, timeout_s: float = END_S) -> T:
    """The condition's value, once it is true.

    Raises:
        AssertionError: not within timeout_s; says what was waited for.
    """
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Of JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def assert_clean(self) -> None:
        """No user ever sees a stack trace."""
        assert "Traceback" not in self.out + self.err, self.err


def start(*arguments: str, out: IO[bytes] | int = subprocess.PIPE, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [KAFRA, *arguments],
        stdout=out,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environ(**variables),
    )


def finish(process: subprocess.Popen[str]) -> Ended:
    try:
        out, err = process.communicate(timeout=COMMAND_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    ended = Ended(process.returncode, out or "", err)
    ended.assert_clean()
    return ended


def kafra(*arguments: str, **variables: str) -> Ended:
    """Runs to its end. variables: of its environment, beside FAST."""
    return finish(start(*arguments, **variables))


class Up:
    """A `kafra up --json` that is ready."""

    def __init__(self, process: subprocess.Popen[str], err: Path, store: Path) -> None:
        self.process, self._err, self.store = process, err, store
        self.children: set[int] = set()
        started_s = time.monotonic()
        assert process.stdout is not None
        soon(lambda: self._has_line() or process.poll() is not None, "ready or ended", READY_S)
        line = process.stdout.readline()
        assert line, f"ended with {process.wait()}: {self.err}"
        self.ready_s = time.monotonic() - started_s
        self.ready: dict[str, Any] = json.loads(line)
        self.note_children()

    @property
    def url(self) -> str:
        return str(self.ready["nats"])

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def note_children(self) -> list[psutil.Process]:
        """Those it has now; remembered for the end."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.children |= {child.pid for child in found}
        return found

    def pid_of(self, what: str) -> int | None:
        """Of the child whose command line has `what` in it."""
        for child in self.note_children():
            try:
                if any(what in word for word in child.cmdline()):
                    return child.pid
            except psutil.Error:
                continue
        return None

    def left(self) -> list[int]:
        """Children that still run."""
        return [pid for pid in self.children if _runs(pid)]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.note_children()
        self.process.send_signal(number)
        return self.process.wait(END_S)

    def _has_line(self) -> bool:
        return bool(select.select([self.process.stdout], [], [], 0)[0])


@contextmanager
def up(store: Path, *options: str, **variables: str) -> Iterator[Up]:
    """`kafra up` on this store, ready; ended with all its children afterwards."""
    store.mkdir(parents=True, exist_ok=True)
    err = store / "stderr.txt"
    with err.open("ab") as log:
        process = subprocess.Popen(
            [KAFRA, "up", "--port", "0", "--store", str(store), "--json", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environ(**variables),
        )
    children: set[int] = set()
    try:
        running = Up(process, err, store)
        children = running.children
        yield running
    finally:
        _end(process, children)


def _end(process: subprocess.Popen[str], children: set[int]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stdout is not None
    process.stdout.close()
    for pid in children:
        if _runs(pid):
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assigned(url: str, name: str, credentials: Path | None = None) -> bool:
    """A player enters a map; True once Kafra has decided who serves it."""
    return asyncio.run(_assigned(url, name, credentials))


async def _assigned(url: str, name: str, credentials: Path | None) -> bool:
    bus = await connect(url, name="test", credentials=credentials, connect_timeout_s=END_S)
    try:
        players = Players(bus, [], seed=1)
        players.enter(name)
        await players.settled()

        async def is_assigned() -> bool:
            return await bus.last(MapAssign, name) is not None

        await until(is_assigned, f"{name} is assigned")
        return not players.in_doubt
    finally:
        await bus.close()
