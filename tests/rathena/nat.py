"""A player's home for tests: network namespaces in which his machine is behind a router that lets nothing in.

The machine's network is known to the router alone: from outside there is no way to it at all, whatever listens there. What it
begins itself the router carries out, by port. Needs root and `ip`.

python -m tests.rathena.nat router ADDRESS TO PORT...    what the router does
python -m tests.rathena.nat host URL NAME                a linked host (hosting.py), until SIGTERM
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from tests.rathena.hosting import TwinHost
from tests.rathena.surroundings import WORDS

ROUTER_INSIDE, HOST_INSIDE = "192.168.213.1", "192.168.213.2"
READ_BYTES: Final = 65_536
START_S: Final = 30.0
_ROOT: Final = Path(__file__).parents[2]
_LISTENS: Final = "0A"
"""State LISTEN in /proc/net/tcp."""


def why_not() -> str:
    """Why there can be no namespaces here; empty: there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need root, on Linux"
    if shutil.which("ip") is None:
        return "there is no `ip`"
    probe = f"kfp{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return ""


class Home:
    """outside: the address of this machine as the router sees it."""

    def __init__(self) -> None:
        number = os.getpid() % 250 + 1
        self.outside, self._wan = f"10.213.{number}.1", f"10.213.{number}.2"
        self._router, self._host = f"kfr{os.getpid()}", f"kfh{os.getpid()}"

    @classmethod
    @asynccontextmanager
    async def running(cls, ports: Sequence[int]) -> AsyncIterator["Home"]:
        """ports: of this machine, which the host reaches at ROUTER_INSIDE."""
        home = cls()
        async with AsyncExitStack() as ends:
            ends.callback(home._unmake)
            home._make()
            words = ("router", ROUTER_INSIDE, home.outside, *map(str, ports))
            await ends.enter_async_context(_process(home._router, words))
            yield home

    def host(self, url: str, name: str) -> "contextlib.AbstractAsyncContextManager[None]":
        """A host in it, which serves as it is ordered."""
        return _process(self._host, ("host", url, name))

    def listens(self) -> list[tuple[str, int]]:
        """Every address and port that somebody listens at on the host's machine."""
        found = []
        for line in _run("ip", "netns", "exec", self._host, "cat", "/proc/net/tcp").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS:
                address, _, port = fields[1].partition(":")
                found.append((".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)))
        return found

    def lets_in(self, port: int, *, from_router: bool) -> bool:
        """Whether a connection to the host's machine comes to be: from its own router, or from here."""
        script = f"import socket; socket.create_connection(('{HOST_INSIDE}', {port}), 0.5)"
        where = ("ip", "netns", "exec", self._router) if from_router else ()
        return subprocess.run([*where, sys.executable, "-c", script], capture_output=True, check=False).returncode == 0

    def _make(self) -> None:
        for name in (self._router, self._host):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        wan, lan = (f"kf{os.getpid()}{end}" for end in "wl")
        self._pair(wan, None, self.outside, f"{wan}r", self._router, self._wan)
        self._pair(lan, self._router, ROUTER_INSIDE, f"{lan}h", self._host, HOST_INSIDE)
        _run("ip", "-n", self._host, "route", "add", "default", "via", ROUTER_INSIDE)
        _run("ip", "route", "add", f"{HOST_INSIDE}/32", "via", self._wan)  # gone with the pair; else we would ask the world

    def _pair(self, one: str, at: str | None, address: str, other: str, there: str, its: str) -> None:
        _run("ip", "link", "add", one, "type", "veth", "peer", "name", other)
        if at is not None:
            _run("ip", "link", "set", one, "netns", at)
        _run("ip", "link", "set", other, "netns", there)
        for name, room, ip in ((one, at, address), (other, there, its)):
            within = ("-n", room) if room is not None else ()
            _run("ip", *within, "addr", "add", f"{ip}/30", "dev", name)
            _run("ip", *within, "link", "set", name, "up")

    def _unmake(self) -> None:
        """The pairs go with the namespaces."""
        for name in (self._router, self._host):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


@asynccontextmanager
async def _process(room: str, words: Sequence[str]) -> AsyncIterator[None]:
    """Ready within; then SIGTERM."""
    command = ("ip", "netns", "exec", room, sys.executable, "-m", "tests.rathena.nat", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=_ROOT)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            assert await process.stdout.readline(), f"{words} did not start"
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), START_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _router(address: str, to: str, ports: Sequence[int]) -> None:
    """Carries what begins inside."""
    for port in ports:
        await asyncio.start_server(lambda reader, writer, port=port: _carry_out(reader, writer, to, port), address, port)
    await _until_told()


async def _carry_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str, port: int) -> None:
    with contextlib.suppress(OSError):
        other_reader, other = await asyncio.open_connection(to, port)
        await asyncio.gather(_copy(reader, other), _copy(other_reader, writer))
    writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _host(url: str, name: str) -> None:
    host = TwinHost(url, name, None, number=0, words=WORDS)
    await host.come()
    try:
        await _until_told()
    finally:
        await host.vanish()


async def _until_told() -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print("ready", flush=True)  # noqa: T201
    await told.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["router", address, to, *ports]:
            asyncio.run(_router(address, to, [int(port) for port in ports]))
        case ["host", url, name]:
            asyncio.run(_host(url, name))
        case _:
            sys.exit(__doc__)
