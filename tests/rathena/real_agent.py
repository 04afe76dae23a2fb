"""`kafra agent` as a process of its own, with a bundle whose map-server is the twin. For tests."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from libs.events import HostId
from tests.rathena.host_lab import lives

ENDED_S: Final = 30.0
ROOT: Final = Path(__file__).parents[2]
ANY_MACHINE: Final = {
    "KAFRA__HOST_REQUIREMENTS__CPU_MIN_GHZ": "0",
    "KAFRA__HOST_REQUIREMENTS__CPU_MIN_CORES": "1",
    "KAFRA__HOST_REQUIREMENTS__RAM_MIN_MB": "0",
    "KAFRA__HOST_REQUIREMENTS__NET_MIN_SPEED": "0",
    "KAFRA__HOST_REQUIREMENTS__MAX_JITTER_MS": "1000",
    "KAFRA__HOST_REQUIREMENTS__MIN_PACKET_RATE": "0",
    "KAFRA__HOST_REQUIREMENTS__SLOTS_PER_CORE": "4",
}
"""Whatever runs the tests is good enough."""


class RealAgent:
    """said: its log so far."""

    def __init__(self, host: HostId, process: Process) -> None:
        self.id, self.process = host, process
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read())

    def has_said(self, words: str) -> int:
        """In how many lines."""
        return sum(words in line for line in self.said)

    def map_servers(self) -> list[int]:
        """Their pids: all processes below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]
        return []

    async def ended(self) -> int:
        """Its exit code. What it said must be free of stack traces."""
        async with asyncio.timeout(ENDED_S):
            code = await self.process.wait()
            await self._reading
        assert not self.has_said("Traceback"), "".join(self.said)
        return code

    def kill(self) -> None:
        self.process.kill()

    def terminate(self) -> None:
        self.process.terminate()

    async def close(self) -> None:
        """Whatever still runs is killed."""
        pids = self.map_servers()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading
        for pid in pids:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said.append(line.decode())


@asynccontextmanager
async def real_agent(
    url: str, name: str, directory: Path, *, number: int, bundle: tuple[str, str], words: Sequence[str] = ()
) -> AsyncIterator[RealAgent]:
    """directory: of its own. number: tells it from others. bundle: address and key. words: further flags."""
    flags = {
        "--nats": url,
        "--host-id": name,
        "--account": str(3_000_000 + number),
        "--region": "eu",
        "--bundle-url": bundle[0],
        "--bundle-key": bundle[1],
        "--bundle-store": str(directory / "bundles"),
        "--maps-dir": str(directory / "maps"),
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("KAFRA", "NOTIFY_SOCKET"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.agent", "run", *(word for flag in flags.items() for word in flag), *words),
        cwd=ROOT,
        env=plain | {"XDG_CONFIG_HOME": "/nonexistent"},
        stderr=PIPE,
    )
    agent = RealAgent(HostId(name), process)
    try:
        yield agent
    finally:
        await agent.close()
