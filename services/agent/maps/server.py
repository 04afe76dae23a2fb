"""One life of one map-server: its files are made, it is started, its output kept, its end awaited.

In: what to start. Out: why it ended, in words. Called by servers.py; `terminate` and `kill` may come at any moment.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from libs.events import MapName
from services.agent.maps import contain
from services.agent.maps.conf import ARGUMENTS, Asked
from services.agent.maps.cost import Meter
from services.agent.maps.log import BoundedLog
from services.agent.maps.tree import LIBRARIES, PROGRAM, Bundle, make
from services.agent.ports import MapLinks
from services.agent.sql.responder import Responder
from services.agent.sql.session import HOST

READ_BYTES: Final = 16 * 1024
OUTPUT_END_S: Final = 1.0
"""After its end a process that it left behind may hold its output open; this long is listened."""
LINK_S_MAX: Final = 5.0
TAIL_BYTES: Final = 200
"""Of its output, kept for the reason why it ended."""
GIVEN: Final = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP")
"""All a map-server hears of the agent's environment: the rest, credentials perhaps, is none of its business."""


class MapServer:
    """pid: None before its start and after its end. port: where it takes players, on loopback; 0 before its start."""

    def __init__(self, map_: MapName, bundle: Bundle, program: Sequence[str] | None, directory: Path, log: BoundedLog) -> None:
        self.map = map_
        self.meter: Meter | None = None
        self.pid: int | None = None
        self.port = 0
        self._bundle, self._directory, self._log = bundle, directory, log
        self._program = program or [str(directory / PROGRAM)]
        self._end: Callable[[int], None] | None = None
        self._tail = b""

    async def run(self, links: MapLinks, responder: Responder) -> str:
        """Its whole life; why it ended. Cancelled, it is killed first."""
        try:
            self.port = _free_port()
            async with asyncio.timeout(LINK_S_MAX):
                link_port = await links.open(self.map, HOST, self.port)
            try:
                asked = Asked(self.map, self.port, link_port, responder.port, responder.password)
                await asyncio.to_thread(make, self._directory, self._bundle, asked)
                return await self._live() if self._end is None else "ended before its start"
            finally:
                links.close(self.map)
        except TimeoutError:
            return f"its link did not open within {LINK_S_MAX:g} s"
        except OSError as error:
            return str(error)

    def terminate(self) -> None:
        self._end_by(contain.ask_to_end)

    def kill(self) -> None:
        self._end_by(contain.kill)

    def _end_by(self, end: Callable[[int], None]) -> None:
        """Now, or as soon as it has a process."""
        self._end = end
        if self.pid is not None:
            end(self.pid)

    async def _live(self) -> str:
        process = await asyncio.create_subprocess_exec(
            *contain.command([*self._program, *ARGUMENTS]),
            cwd=self._directory,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **contain.options(),
        )
        self.pid = process.pid
        output = asyncio.ensure_future(self._keep_output(process.stdout))
        try:
            contain.hold(process.pid)
            self.meter = Meter.of(process.pid, asyncio.get_running_loop().time())
            if self._end is not None:  # meanwhile
                self._end(process.pid)
            code = await process.wait()
        finally:
            if process.returncode is None:
                contain.kill(process.pid)
                await process.wait()
            self.pid = None
            await asyncio.wait({output}, timeout=OUTPUT_END_S)
            output.cancel()
        return _ending(code, self._tail)

    def _environment(self) -> dict[str, str]:
        """The bundle comes first where libraries are looked for: on Linux its lib/, on Windows beside the program."""
        given = {name: os.environ[name] for name in GIVEN if name in os.environ}
        root, libraries = self._bundle.root, [str(self._bundle.root / LIBRARIES)]
        if "LD_LIBRARY_PATH" in given:
            libraries.append(given["LD_LIBRARY_PATH"])
        given["PATH"] = os.pathsep.join((str(root), given.get("PATH", os.defpath)))
        return given | {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}

    async def _keep_output(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (data := await stream.read(READ_BYTES)):
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            self._log.write(data)


def _free_port() -> int:
    """One that is free now. Whoever takes it first: a map-server that cannot listen ends, and is started on another."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _ending(code: int, tail: bytes) -> str:
    """With its last words."""
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    lines = tail.decode("ascii", "replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{how}: {said}" if said else how
