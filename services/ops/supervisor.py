"""Children of `kafra up`: started, watched, restarted when they die, ended with us.

A child tells that it is ready by the sd_notify protocol (libs/runtime/service.notify_ready).
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0
"""From SIGTERM to SIGKILL; services drain within 5 s."""
BACKOFF_S = (0.1, 5.0)
HEALTHY_S = 10.0
"""A child that ran this long before it died is restarted at once."""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One process to keep alive. restarts: how often it was started again."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    backoff_s: float = BACKOFF_S[0]
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process is not None and self.process.returncode is None else None


class Supervisor:
    """log_dir: where each child's stderr goes, None: to ours."""

    def __init__(self, children: Sequence[Child], log_dir: Path | None = None) -> None:
        self.children = list(children)
        self._log_dir = log_dir
        self._sockets = Path(tempfile.mkdtemp(prefix="kafra-"))
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Starts all; returns when each is ready.

        Raises:
            TimeoutError: one is not, within READY_TIMEOUT_S; all are ended.
        """
        self._tasks = [asyncio.create_task(self._keep(child), name=child.name) for child in self.children]
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                for child in self.children:
                    await child.ready.wait()
        except TimeoutError:
            late = ", ".join(child.name for child in self.children if not child.ready.is_set())
            await self.stop()
            raise TimeoutError(f"not ready within {READY_TIMEOUT_S:g} s: {late}") from None

    async def stop(self) -> None:
        """SIGTERM to all, SIGKILL to who stays; returns when every child has ended."""
        self._stopping = True
        for child in reversed(self.children):
            _signal(child, signal.SIGTERM)
        done, late = await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S) if self._tasks else (set(), set())
        if late:
            for child in self.children:
                _signal(child, signal.SIGKILL)
            await asyncio.wait(late)
        for task in done:
            task.result()
        shutil.rmtree(self._sockets, ignore_errors=True)

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            code = await self._live(child)
            if self._stopping:
                return
            child.restarts += 1
            if loop.time() - started_s > HEALTHY_S:
                child.backoff_s = BACKOFF_S[0]
            _LOG.warning("%s ended with %s; starting it again in %.1f s", child.name, code, child.backoff_s)
            await asyncio.sleep(child.backoff_s)
            child.backoff_s = min(child.backoff_s * 2, BACKOFF_S[1])

    async def _live(self, child: Child) -> int:
        """One life of a child; its exit code."""
        with self._listen(child) as path, self._log(child) as log:
            env = {**child.env, "NOTIFY_SOCKET": str(path), "KAFRA_PARENT_PID": str(os.getpid())}
            child.process = await asyncio.create_subprocess_exec(
                *child.argv, env=env, stdin=asyncio.subprocess.DEVNULL, stderr=log, start_new_session=True
            )
            if self._stopping:
                _signal(child, signal.SIGTERM)
            return await child.process.wait()

    @contextlib.contextmanager
    def _listen(self, child: Child) -> Iterator[Path]:
        """A socket of this life of the child; READY=1 on it sets `ready`."""
        loop = asyncio.get_running_loop()
        path = self._sockets / child.name
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.setblocking(False)
            notify.bind(str(path))

            def heard() -> None:
                with contextlib.suppress(BlockingIOError):
                    if b"READY=1" in notify.recv(4096):
                        child.ready.set()

            loop.add_reader(notify, heard)
            try:
                yield path
            finally:
                loop.remove_reader(notify)

    @contextlib.contextmanager
    def _log(self, child: Child) -> Iterator[IO[bytes] | None]:
        if self._log_dir is None:
            yield None
            return
        self._log_dir.mkdir(parents=True, exist_ok=True)
        log: IO[bytes]
        with (self._log_dir / f"{child.name}.log").open("ab") as log:
            yield log


def _signal(child: Child, number: int) -> None:
    if child.process is not None and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)
