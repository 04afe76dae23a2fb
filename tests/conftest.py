"""Shared fixtures: a real nats-server on a free port, and buses over each implementation of the port."""

import asyncio
import contextlib
import inspect
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from libs.bus.embedded import EmbeddedServer
from libs.bus.memory import MemoryLog, MemoryServer
from libs.bus.nats import connect
from libs.bus.port import Bus
from libs.identity.accounts import accounts_config

CONTAINER_IMAGE = "nats:2.15.1-alpine"
Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What agents keep on a player's machine is kept apart from whoever runs the tests."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[EmbeddedServer]:
    """A nats-server of its own, on a free port, stopped by its pid."""
    server = EmbeddedServer(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def eventually() -> Eventually:
    """Await until a condition holds: `await eventually(lambda: got == [1])`; it may be a coroutine function. It fails after
    timeout_s."""

    async def wait(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                holds = condition()
                if await holds if inspect.isawaitable(holds) else holds:
                    return
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def freeze(eventually: Eventually) -> Iterator[Callable[[int], Awaitable[None]]]:
    """`await freeze(pid)`: SIGSTOP, and every thread has stopped. Whatever is frozen at the test's end goes on."""
    frozen: list[int] = []

    def stopped(pid: int) -> bool:
        threads = Path(f"/proc/{pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    async def stop(pid: int) -> None:
        frozen.append(pid)
        os.kill(pid, signal.SIGSTOP)
        await eventually(lambda: stopped(pid))

    yield stop
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class BusFactory:
    """Buses on one server. `await factory(name)`; `await factory.publish(subject, body)` for any bytes."""

    kind: str

    def __init__(self) -> None:
        self._opened: list[Bus] = []

    async def __call__(self, name: str = "test") -> Bus:
        bus = await self._open(name)
        self._opened.append(bus)
        await bus.ensure_streams(1)
        return bus

    async def _open(self, name: str) -> Bus:
        raise NotImplementedError

    async def publish(self, subject: str, body: bytes) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        for bus in self._opened:
            await bus.close()


class MemoryFactory(BusFactory):
    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer()

    async def _open(self, name: str) -> Bus:
        return self.server.connect(name)

    async def publish(self, subject: str, body: bytes) -> None:
        self.server.publish(subject, body)


class NatsFactory(BusFactory):
    kind = "nats"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def _open(self, name: str) -> Bus:
        return await connect(self.url, name=name)

    async def publish(self, subject: str, body: bytes) -> None:
        client = await nats.connect(self.url)
        if MemoryLog().keeps(subject) is not None:
            await client.jetstream().publish(subject, body)
        else:
            await client.publish(subject, body)
            await client.flush()
        await client.close()


@pytest.fixture(
    params=["memory", pytest.param("nats", marks=pytest.mark.nats), pytest.param("container", marks=pytest.mark.docker)]
)
async def bus_factory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BusFactory]:
    """The contract suite runs once for each: in memory, a nats-server, a nats-server in a container."""
    async with contextlib.AsyncExitStack() as stack:
        factory: BusFactory
        if request.param == "memory":
            factory = MemoryFactory()
        elif request.param == "nats":
            server = EmbeddedServer(tmp_path / "nats")
            await server.start()
            stack.push_async_callback(server.stop)
            factory = NatsFactory(server.url)
        else:
            container = _start_container()
            stack.callback(container.stop)
            factory = NatsFactory(f"nats://{container.get_container_host_ip()}:{container.get_exposed_port(4222)}")
        stack.push_async_callback(factory.close)
        yield factory


def _start_container() -> Any:
    """A nats-server with JetStream in a container; the test is skipped where no Docker socket answers."""
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    if path.startswith("/"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(path)
            except OSError as error:
                pytest.skip(f"no Docker socket answers at {path}: {error}")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    config = f"port: 4222\njetstream {{ store_dir: /data }}\n{accounts_config(None)}"
    container = DockerContainer(CONTAINER_IMAGE).with_env("CONFIG", config).with_exposed_ports(4222)
    container.with_command(["sh", "-c", 'echo "$CONFIG" > /tmp/nats.conf; exec nats-server -c /tmp/nats.conf'])
    return container.waiting_for(LogMessageWaitStrategy("Server is ready")).start()
