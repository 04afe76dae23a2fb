"""Two registries, and the active one killed, paused and continued, or cut off without a word: what the log says of hosts never
contradicts itself, nobody who lives is called dead, who dies is, and no order older than one already given is obeyed.

6 rounds in every run, 50 in `make prove`.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator

import msgspec
import pytest

from bench import place
from libs.bus.nats import NatsBus, connect
from libs.bus.stored import get_message
from libs.bus.streams import LEASE_PREFIX, LEASES
from libs.events import HostId, HostOrder, Region
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured
from services.agent.shell import AgentShell
from services.agent.simulated import SimulatedMachine, SimulatedMapServers
from tests.nats.deaths import READY_S, Eventually, Land, contradictions, land
from tests.nats.proxy import Proxy, proxy
from tests.rathena.figures import count, tell

pytestmark = [pytest.mark.nats, pytest.mark.timeout(count(300, 3_600))]

ROUNDS = count(6, 50)
LIVING = 6
AWAY_S = 5.0
BOUND_S = 40.0
WHAT = ("kill", "pause", "partition")
STRONG = Measured("198.51.100.10", 6121, 4.2, 16, 24_000.0, 900.0, 8.0, 1.5, 2_000.0)
SETTINGS = {"KAFRA__HOST_REQUIREMENTS__MAX_DISCONNECTS_PER_HOUR": "1000"}


class Lease(msgspec.Struct):
    by: str = ""
    holder: str = ""


class Replica:
    """One registry process behind a line of its own. name: as it calls itself in this life."""

    def __init__(self, line: Proxy) -> None:
        self.line = line
        self.process: asyncio.subprocess.Process | None = None
        self.name = ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, eventually: Eventually) -> None:
        port = _free_port()
        environ = place.environ(self.line.url) | SETTINGS | {"KAFRA_HEALTH_PORT": str(port)}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.registry", env=environ, start_new_session=True
        )

        async def is_ready() -> bool:
            with contextlib.suppress(OSError):
                status = json.loads(await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/statusz"))
                self.name = status["name"]
                return bool(status["ready"])
            return False

        await eventually(is_ready, READY_S)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


class Obedient(Agent):
    """Writes down what it obeyed, (lease, as_of) in order."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self.obeyed: list[tuple[int, int]] = []

    def on_order(self, order: HostOrder) -> bool:
        if obeys := super().on_order(order):
            self.obeyed.append((order.lease, order.as_of))
        return obeys


@contextlib.asynccontextmanager
async def living(url: str, name: str) -> AsyncIterator[Obedient]:
    """An agent in this process; at the end it is gone without a word."""
    bus = await connect(url, name=name)
    agent = Obedient(Identity(HostId(name), 1, Region("eu")))
    rng = random.Random(name)
    shell = AgentShell(agent, bus, SimulatedMachine(STRONG, rng), SimulatedMapServers(rng), Clock())
    running = asyncio.create_task(shell.run(asyncio.Event()))
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bus.close()


async def holder(bus: NatsBus) -> str:
    """The name of the registry that has the lease, as the record says; "" for none."""
    message = await get_message(bus._connection, LEASES, {"last_by_subj": f"{LEASE_PREFIX}.registry"}, 5.0)
    if message is None:
        return ""
    record = msgspec.json.decode(message.body, type=Lease)
    return record.by if record.holder else ""


async def disturb(what: str, replica: Replica, made: Land, eventually: Eventually) -> float:
    """The active one is killed, paused or cut off, until another has taken over and longer; ms until that."""

    async def taken_over() -> bool:
        return await holder(made.bus) not in ("", replica.name)

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    if what == "kill":
        await replica.kill()
    elif what == "pause":
        os.kill(replica.pid, signal.SIGSTOP)
    else:
        replica.line.stall()
    try:
        await eventually(taken_over, BOUND_S)
        took_s = loop.time() - began_s
        await asyncio.sleep(max(0.0, AWAY_S - took_s))
    finally:
        if what == "pause":
            os.kill(replica.pid, signal.SIGCONT)
        replica.line.go_on()
    if what == "kill":
        await replica.start(eventually)
    return took_s * 1000


async def test_what_is_said_of_hosts_never_contradicts_itself(eventually: Eventually):
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(land(registries=()))
        replicas = [Replica(await stack.enter_async_context(proxy(made.url))) for _ in range(2)]
        for replica in replicas:
            stack.push_async_callback(replica.kill)
            await replica.start(eventually)
        names = [f"living{number}" for number in range(LIVING)]
        agents = [await stack.enter_async_context(living(made.url, name)) for name in names]
        await eventually(lambda: all(map(made.is_up, names)), READY_S)
        for name in names[:2]:
            await made.give(name, f"map_{name}")
        took_ms: dict[str, list[float]] = {what: [] for what in WHAT}

        for number in range(ROUNDS):
            what, by = WHAT[number % len(WHAT)], await holder(made.bus)
            (replica,) = [each for each in replicas if each.name == by]
            async with living(made.url, "mortal") as mortal:
                await eventually(lambda: made.is_up("mortal"), BOUND_S)
                agents.append(mortal)
            took_ms[what].append(await disturb(what, replica, made, eventually))
            await eventually(lambda: not made.is_up("mortal"), BOUND_S)

        for what in WHAT:
            tell(f"registry's {what} to another's taking over", took_ms[what])
        assert contradictions(made.facts) == []
        assert {down.host for down in made.downs()} == {"mortal"}, "who lives is not called dead"
        assert len(made.downs("mortal")) == ROUNDS
        for agent in agents:
            assert agent.obeyed == sorted(agent.obeyed)
        assert len({lease for lease, _ in agents[0].obeyed}) > ROUNDS // 2, "orders came from one registry after the other"
