"""Starts a twin in its own process from a test.

`async with TwinProcess.started("map", "--char", "127.0.0.1:6121", "--maps", "a,b") as server: server.kill()`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.rathena.twin.char_core import Ticket

START_S: Final = 20.0
ANSWER_S: Final = 40.0
_ROOT: Final = Path(__file__).parents[3]
_LINE_BYTES_MAX: Final = 1 << 24


class TwinProcess:
    """port: where its (first) twin listens; ports: of all."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.pid: int = ready["pid"]
        self.port: int = ready["port"]
        self.ports: list[int] = ready["ports"]
        self._control: int = ready["control"]

    @classmethod
    @asynccontextmanager
    async def started(cls, *words: str) -> AsyncIterator["TwinProcess"]:
        """words: of the command line. At the end it is killed where it still lives."""
        command = (sys.executable, "-m", "tests.rathena.twin", *words)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
            assert line, f"{words} did not start"
            yield cls(process, json.loads(line))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def ask(self, do: str, **order: Any) -> Any:
        """An order of `control.py`. Raises: AssertionError for one that fails."""
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._control, limit=_LINE_BYTES_MAX)
            try:
                writer.write(json.dumps({"do": do, **order}).encode() + b"\n")
                answer = json.loads(await reader.readline())
            finally:
                writer.close()
        assert "ok" in answer, answer
        return answer["ok"]

    async def login(self, account_id: int) -> Ticket:
        """Of a char process: waits until it is possible."""
        return Ticket(**await self.ask("login", account=account_id))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self, timeout_s: float = 20.0) -> int:
        """Its exit code. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()
