"""The agent's connection to a real nats-server, while the agent lives within the test: its machine sleeps or changes networks,
the line is cut, its identity is refused or taken back. The test orders it in the registry's place."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from agents import BOUND_S, MAP, Operator, flags, is_ready, of, run_agent, serving
from slow_line import line_to

from libs.bus import talk
from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import AuthorizationFailed
from libs.bus.nats import NatsBus, connect
from libs.events import HostId, Region
from libs.identity.accounts import User
from libs.runtime.clock import Clock
from services.agent import shell as shell_module
from services.agent import vigil as vigil_module
from services.agent.core import Agent, Identity, Measured
from services.agent.running import _first_of as first_of
from services.agent.shell import AgentShell
from services.agent.simulated import SimulatedMachine, SimulatedMapServers
from services.agent.vigil import Vigil, local_address, ways_to

pytestmark = pytest.mark.nats
Eventually = Callable[..., Awaitable[None]]
Freeze = Callable[[int], Awaitable[None]]


async def test_an_identity_the_server_refuses_is_said_in_one_line(tmp_path: Path):
    server = EmbeddedServer(tmp_path / "nats", users=users("right"))
    await server.start()
    try:
        code, _, said = await run_agent(*flags(server.url), "--seed", str(password(tmp_path, "wrong")))
    finally:
        await server.stop()

    assert code == 1
    assert len(said.splitlines()) == 1
    assert "does not accept these credentials" in said


def users(secret: str) -> list[User]:
    return [User("h1", secret)]


def password(directory: Path, secret: str) -> Path:
    path = directory / secret
    path.write_text(f"h1:{secret}\n")
    return path


class Living:
    """An agent within the test, on a connection that is watched."""

    def __init__(self, bus: NatsBus, url: str) -> None:
        rng = random.Random(1)
        self.bus, self.servers, self.stopped = bus, SimulatedMapServers(rng), asyncio.Event()
        self.changes: list[bool] = []
        self.other_paths = 0
        self.slept_s = 0.0
        identity = Identity(HostId("h1"), 7, Region("eu"))
        self.shell = AgentShell(Agent(identity), bus, SimulatedMachine(Measured(), rng), self.servers, Clock())
        bus.on_change(self.changes.append)
        bus.on_change(lambda up: self.shell.beat_soon() if up else None)
        self.vigil = Vigil(bus, url, self.on_other_path, self.shell.beat_soon, lambda: self.slept_s)
        self.task = asyncio.create_task(first_of(self.shell.run(self.stopped), self.vigil.run()))

    def on_other_path(self) -> None:
        self.other_paths += 1

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.bus.close()


@pytest.fixture
async def live() -> AsyncIterator[Callable[..., Awaitable[Living]]]:
    started: list[Living] = []

    async def start(url: str, credentials: Path | None = None) -> Living:
        started.append(Living(await connect(url, name="h1", credentials=credentials), url))
        return started[-1]

    yield start
    for living in started:
        await living.close()


async def test_nats_may_die_while_it_begins_to_listen(
    nats_server: EmbeddedServer,
    live: Callable[..., Awaitable[Living]],
    freeze: Freeze,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
):
    monkeypatch.setattr(talk, "SUBSCRIBE_TIMEOUT_S", 0.2)
    bus = await connect(nats_server.url, name="h1")
    await freeze(nats_server.pid)
    living = Living(bus, nats_server.url)
    await asyncio.sleep(1)  # several tries to listen, none of them answered
    assert not living.task.done()

    nats_server.kill()
    await nats_server.start()
    operator = Operator(await connect(nats_server.url, name="operator"))
    await operator.listen()
    await eventually(of(operator, lambda beat: beat.host == "h1"), BOUND_S)
    operator.order("h1", MAP)
    await eventually(of(operator, is_ready), BOUND_S)

    await operator.bus.close()
    await living.close()


async def test_a_machine_that_slept_connects_anew_and_beats_at_once(
    nats_server: EmbeddedServer, operator: Operator, live: Callable[..., Awaitable[Living]], eventually: Eventually
):
    living = await live(nats_server.url)
    await eventually(of(operator, lambda beat: beat.host == "h1"), BOUND_S)
    operator.order("h1")
    await eventually(lambda: len(operator.beats) > 2, BOUND_S)

    living.slept_s += 3_600
    await eventually(lambda: living.changes == [False, True], BOUND_S)
    since = len(operator.beats)
    await eventually(lambda: len(operator.beats) > since, BOUND_S)

    operator.order("h1", MAP)
    await eventually(of(operator, lambda beat: MAP in beat.maps), BOUND_S)
    assert living.other_paths == 1, "what was measured before the sleep holds no more"


async def test_in_another_network_it_connects_anew(
    nats_server: EmbeddedServer,
    operator: Operator,
    live: Callable[..., Awaitable[Living]],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
):
    addresses = ["192.0.2.1"]

    monkeypatch.setattr(vigil_module, "local_address", lambda _way: addresses[-1])
    monkeypatch.setattr(vigil_module, "LOOK_S", 0.02)
    living = await live(nats_server.url)
    await eventually(of(operator, lambda beat: beat.host == "h1"), BOUND_S)
    await asyncio.sleep(0.2)
    assert living.changes == [], "the same network is no news"

    addresses.append("192.0.2.2")
    await eventually(lambda: living.changes == [False, True], BOUND_S)

    assert living.other_paths == 1
    since = len(operator.beats)
    await eventually(lambda: len(operator.beats) > since, BOUND_S)


async def test_a_line_that_is_cut_and_back_is_the_same_agent(
    nats_server: EmbeddedServer, operator: Operator, live: Callable[..., Awaitable[Living]], eventually: Eventually
):
    async with line_to(nats_server.port) as line:
        await live(f"nats://127.0.0.1:{line.port}")
        await eventually(of(operator, lambda beat: beat.host == "h1"), BOUND_S)

        line.cut()
        await operator.bus.ping(5.0)
        since = len(operator.beats)
        line.open = True
        await eventually(lambda: len(operator.beats) > since, BOUND_S)

    assert operator.beats[since].seq > operator.beats[since - 1].seq


async def test_an_identity_that_is_taken_back_ends_it_after_a_while(
    tmp_path: Path, live: Callable[..., Awaitable[Living]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vigil_module, "LOOK_S", 0.05)
    monkeypatch.setattr(vigil_module, "REFUSED_S_MAX", 1.0)
    server = EmbeddedServer(tmp_path / "nats", users=users("right"))
    await server.start()
    try:
        living = await live(server.url, password(tmp_path, "right"))

        server.reload(users("another"))

        with pytest.raises(AuthorizationFailed, match="does not accept this host's identity any more"):
            async with asyncio.timeout(BOUND_S):
                await living.task
    finally:
        await server.stop()


async def test_users_written_anew_end_nobody(
    tmp_path: Path, live: Callable[..., Awaitable[Living]], monkeypatch: pytest.MonkeyPatch, eventually: Eventually
):
    monkeypatch.setattr(vigil_module, "LOOK_S", 0.05)
    server = EmbeddedServer(tmp_path / "nats", users=users("right"))
    await server.start()
    try:
        living = await live(server.url, password(tmp_path, "right"))
        server.reload(users("another"))
        await eventually(lambda: living.bus.refused, BOUND_S)

        server.reload(users("right"))
        await eventually(lambda: living.bus.connected and not living.bus.refused, BOUND_S)

        assert not living.task.done()
    finally:
        await server.stop()


async def test_maps_that_nobody_takes_do_not_keep_it(
    nats_server: EmbeddedServer,
    operator: Operator,
    live: Callable[..., Awaitable[Living]],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
):
    monkeypatch.setattr(shell_module, "GOODBYE_TIMEOUT_S", 1.0)
    living = await live(nats_server.url)
    await serving(operator, eventually)

    living.stopped.set()
    async with asyncio.timeout(BOUND_S):
        await living.task

    assert operator.beats[-1].leaving
    assert living.servers.reports(0) == {}


async def test_the_address_on_the_way_is_this_machines():
    ways = await ways_to("127.0.0.1", 4222)

    assert [local_address(way) for way in ways] == ["127.0.0.1"]
    assert await ways_to("no.such.host.invalid", 4222) == []
    assert local_address((socket.AF_INET, ("255.255.255.255", 1))) is None, "there is no way: nobody may broadcast"
