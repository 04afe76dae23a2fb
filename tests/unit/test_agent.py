"""The agent: which orders it obeys, what it says, and that nothing it says is made up."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.bus.memory import MemoryServer
from libs.events import (
    CheckKind,
    HostCheck,
    HostCheckReply,
    HostId,
    HostMetrics,
    HostOrder,
    MapName,
    MapReport,
    OrderedMap,
    Region,
)
from libs.events.orders import TWO_AGENTS, Heard
from libs.runtime.clock import Clock
from services.agent import running as command
from services.agent.core import FIRST_INTERVAL_MS, Agent, Identity, Measured
from services.agent.shell import AgentShell
from services.agent.simulated import START_MS, SimulatedMachine, SimulatedMapServers

ME = Identity(HostId("me"), 7, Region("eu"))
FIELD, DUNGEON = MapName("a_fild01"), MapName("a_dun01")
BOUND_S = 10.0
Eventually = Callable[..., Awaitable[None]]


def order(*maps: MapName, lease: int = 1, as_of: int = 1, host: str = "me", interval_ms: int = 200) -> HostOrder:
    wanted = {name: OrderedMap(tenure=as_of, role="primary") for name in maps}
    return HostOrder(host=HostId(host), at_ms=1, as_of=as_of, lease=lease, interval_ms=interval_ms, maps=wanted)


def test_an_order_is_obeyed_whole():
    agent = Agent(ME)

    assert agent.interval_ms == FIRST_INTERVAL_MS
    assert agent.on_order(order(FIELD, DUNGEON, interval_ms=350))
    assert set(agent.wanted) == {FIELD, DUNGEON}
    assert agent.interval_ms == 350
    assert agent.on_order(order(as_of=2))
    assert agent.wanted == {}


def test_an_order_for_another_host_is_not_obeyed():
    agent = Agent(ME)

    assert not agent.on_order(order(FIELD, host="you"))
    assert agent.wanted == {}


@pytest.mark.parametrize(
    ("lease", "as_of", "obeyed"),
    [(2, 10, True), (2, 11, True), (3, 1, True), (2, 9, False), (1, 99, False)],
)
def test_an_older_order_is_not_obeyed(lease: int, as_of: int, obeyed: bool):
    agent = Agent(ME)
    agent.on_order(order(FIELD, lease=2, as_of=10))

    assert agent.on_order(order(DUNGEON, lease=lease, as_of=as_of)) is obeyed
    assert set(agent.wanted) == {DUNGEON if obeyed else FIELD}


@given(st.permutations([(lease, as_of) for lease in (1, 2, 3) for as_of in (1, 5, 9)]))
@settings(derandomize=True, deadline=None, database=None)
def test_whatever_the_order_they_come_in_the_newest_is_the_last_obeyed(arrivals: list[tuple[int, int]]):
    agent = Agent(ME)

    for lease, as_of in arrivals:
        agent.on_order(order(MapName(f"m{lease}{as_of}"), lease=lease, as_of=as_of))
        agent.on_order(order(MapName(f"m{lease}{as_of}"), lease=lease, as_of=as_of))  # twice: the bus may repeat

    assert set(agent.wanted) == {"m39"}


def test_heartbeats_are_numbered_and_carry_what_was_measured():
    agent = Agent(ME)
    reports = {FIELD: MapReport(tenure=3, state="failed")}
    measured = Measured(cpu_ghz=4.2, region_rtt_ms={Region("eu"): None}, bundle="b1", bundle_refused="older: no")

    first = agent.metrics(measured, reports, 50)
    second = agent.metrics(Measured(), {}, 60, leaving=True)

    assert (first.seq, second.seq) == (1, 2)
    assert (first.host, first.account_id, first.region, first.at_ms) == ("me", 7, "eu", 50)
    assert (first.cpu_ghz, first.cpu_cores, first.region_rtt_ms) == (4.2, None, {"eu": None})
    assert (first.maps, first.bundle, first.bundle_refused) == (reports, "b1", "older: no")
    assert (first.leaving, second.leaving) == (False, True)


def test_the_proof_is_a_chain_of_hashes_over_nonce_and_host():
    check = HostCheck(host=HostId("me"), at_ms=1, kind=CheckKind.CPU, nonce="0123456789abcdef", rounds=3)

    expected = b"0123456789abcdef:me"
    for _ in range(3):
        expected = sha256(expected).digest()
    assert Agent(ME).answer(check) == HostCheckReply(proof=expected.hex())


def order_of_two(seq: int, at_ms: int) -> HostOrder:
    notes = [f"{TWO_AGENTS}: end the other"]
    return msgspec.structs.replace(order(FIELD), notes=notes, heard=Heard(seq=seq, at_ms=at_ms))


def test_of_two_agents_with_one_identity_the_one_that_is_not_heard_knows_it():
    older, newer = Agent(ME), Agent(ME)
    for at_ms in (100, 200, 300):
        older.metrics(Measured(), {}, at_ms)
    newer.metrics(Measured(), {}, 310)

    told = order_of_two(seq=1, at_ms=310)

    assert older.is_displaced_by(told)
    assert not newer.is_displaced_by(told)


def test_an_agent_alone_is_never_displaced():
    agent = Agent(ME)
    agent.metrics(Measured(), {}, 100)

    assert not agent.is_displaced_by(order(FIELD)), "nothing was said of two"
    assert not agent.is_displaced_by(order_of_two(seq=1, at_ms=100)), "its own word is what counts"
    assert not agent.is_displaced_by(msgspec.structs.replace(order_of_two(1, 1), heard=None)), "nobody said who counts"


async def test_simulated_map_servers_start_are_ready_and_stop():
    servers = SimulatedMapServers(random.Random(1))
    wanted = {name: OrderedMap(tenure=4, role="primary") for name in (FIELD, DUNGEON)}

    servers.obey(wanted, now_ms=1_000)

    assert {report.state for report in servers.reports(1_000 + START_MS[0] - 1).values()} == {"starting"}
    assert {report.state for report in servers.reports(1_000 + START_MS[1]).values()} == {"ready"}
    servers.obey({FIELD: OrderedMap(tenure=9, role="backup")}, now_ms=9_000)
    assert {name: (report.tenure, report.state) for name, report in servers.reports(9_000).items()} == {FIELD: (9, "ready")}
    await servers.close()
    assert servers.reports(9_000) == {}


def test_simulated_map_servers_may_fail_to_start():
    servers = SimulatedMapServers(random.Random(1), fail_ratio=1.0)

    servers.obey({FIELD: OrderedMap(tenure=4, role="primary")}, now_ms=0)

    assert servers.reports(0)[FIELD].state == "starting"
    assert servers.reports(START_MS[1])[FIELD].state == "failed"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--host-id", "a.b"],
        ["--host-id", "x" * 33],
        ["--host-id", "me", "--account", "-1"],
        ["--host-id", "me", "--account", "4294967296"],
        ["--host-id", "me", "--port", "65536"],
        ["--host-id", "me", "--region", "*"],
    ],
)
def test_wrong_arguments_are_a_matter_of_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        command.parse(arguments)

    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


class Operator:
    """Hears and orders an agent over a bus in memory."""

    def __init__(self, server: MemoryServer) -> None:
        self.bus = server.connect("operator")
        self.beats: list[HostMetrics] = []

    async def listen(self) -> None:
        await self.bus.hear(HostMetrics, self.beats.append)

    async def beat(self, number: int, eventually: Eventually) -> HostMetrics:
        await eventually(lambda: len(self.beats) >= number)
        return self.beats[number - 1]


async def shell_of(server: MemoryServer) -> tuple[Operator, asyncio.Task[None], asyncio.Event]:
    operator, stopped = Operator(server), asyncio.Event()
    await operator.listen()
    rng = random.Random(1)
    machine = SimulatedMachine(Measured(cpu_ghz=4.0), rng)
    shell = AgentShell(Agent(ME), server.connect("me"), machine, SimulatedMapServers(rng), Clock())
    return operator, asyncio.create_task(shell.run(stopped)), stopped


async def test_the_shell_beats_obeys_answers_and_says_goodbye(eventually: Eventually):
    server = MemoryServer()
    operator, running, stopped = await shell_of(server)

    await operator.beat(1, eventually)
    operator.bus.say(order(FIELD, interval_ms=60_000))
    started = await operator.beat(2, eventually)
    ready = await operator.beat(3, eventually)
    proof = await operator.bus.ask(
        HostCheck(host=HostId("me"), at_ms=1, kind=CheckKind.PRESENCE, nonce="0123456789abcdef"), BOUND_S
    )
    stopped.set()
    goodbye = await operator.beat(4, eventually)
    operator.bus.say(order(as_of=2))
    await asyncio.wait_for(running, BOUND_S)

    assert started.maps[FIELD].state == "starting"
    assert ready.maps[FIELD].state == "ready", "said at once, not at the next heartbeat in a minute"
    assert isinstance(proof, HostCheckReply)
    assert len(proof.proof) == 64
    assert goodbye.leaving


async def test_a_cancelled_shell_leaves_nothing_running(eventually: Eventually):
    before = asyncio.all_tasks()
    operator, running, _ = await shell_of(MemoryServer())
    await operator.beat(1, eventually)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await operator.bus.close()

    await eventually(lambda: not asyncio.all_tasks() - before)
