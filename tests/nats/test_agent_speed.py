"""The agent's line measured over a real nats-server, on lines of known speed; and what it does when the other side is busy.

The lines are a proxy's: what it lets through is exact, what a loaded test machine makes of it is not, so bounds are wide.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest
from agents import BOUND_S, Operator, Validating, agent
from slow_line import line_to

from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import NatsBus, connect
from libs.config import Settings
from libs.events import HostId, HostMetrics, HostSpeed, HostSpeedReply, Region, SpeedStep
from libs.runtime.clock import Clock
from services.agent import machine as machine_module
from services.agent.machine import RealMachine
from services.agent.speed import PACKETS, PIECES, TOTAL_S, WAY_S, Speed, measure

pytestmark = pytest.mark.nats
Eventually = Callable[..., Awaitable[None]]
BYTES_MAX = 2_000_000
SLACK_S = 10.0
"""Beyond TOTAL_S: of a loaded machine, and of the question whether the other side lives."""
SETTINGS = Settings(regions={"eu": "198.51.100.2:5121"})


@pytest.fixture
async def validating(nats_server: EmbeddedServer) -> AsyncIterator[Validating]:
    bus = await connect(nats_server.url, name="validator-1")
    validating = Validating(SETTINGS)
    await bus.answer(HostSpeed, validating.on_asked, queue="validator")
    yield validating
    await bus.close()


async def measured_by(bus: NatsBus) -> Speed:
    async def ask(request: HostSpeed, timeout_s: float) -> HostSpeedReply | None:
        reply = await bus.ask(request, timeout_s)
        return reply if isinstance(reply, HostSpeedReply) else None

    try:
        async with asyncio.timeout(TOTAL_S + SLACK_S):
            return await measure(ask, HostId("h1"), Clock())
    finally:
        await bus.close()


async def measured_at(port: int) -> Speed:
    return await measured_by(await connect(f"nats://127.0.0.1:{port}", name="h1"))


@pytest.mark.usefixtures("validating")
async def test_a_line_without_limit_is_fast_and_tells_the_rules(nats_server: EmbeddedServer):
    speed = await measured_at(nats_server.port)

    assert speed.net_mbps is not None
    assert speed.net_mbps > 1
    assert speed.packet_rate is not None
    assert speed.packet_rate > 1
    assert speed.requirements["net_min_speed"] == SETTINGS.host_requirements.net_min_speed
    assert speed.regions == {"eu": "198.51.100.2:5121"}


@pytest.mark.usefixtures("validating")
@pytest.mark.parametrize(
    ("down_mbps", "up_mbps", "delay_s"),
    [(40.0, None, 0.0), (None, 16.0, 0.0), (40.0, 16.0, 0.01), (16.0, 40.0, 0.02), (100.0, 100.0, 0.015)],
)
async def test_the_slower_way_is_what_counts(
    nats_server: EmbeddedServer, down_mbps: float | None, up_mbps: float | None, delay_s: float
):
    slower = min(mbps for mbps in (down_mbps, up_mbps) if mbps is not None)

    async with line_to(nats_server.port, down_mbps=down_mbps, up_mbps=up_mbps, delay_s=delay_s) as line:
        speed = await measured_at(line.port)

    assert speed.net_mbps is not None
    sys.stdout.write(f"a line of {slower:g} Mbit/s with {delay_s * 2000:g} ms is shown as {speed.note}\n")
    assert speed.net_mbps < slower * 1.5, "no line is made faster than it is"
    assert speed.net_mbps > slower * 0.05


@pytest.mark.parametrize(("piece_s", "said"), [(0.0, "more than 1311 down, more than 1311 up"), (0.01, "52.4 down, 52.4 up")])
async def test_a_line_too_fast_to_be_measured_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, piece_s: float, said: str):
    now_s = 1_000.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s)

    async def ask(request: HostSpeed, timeout_s: float) -> HostSpeedReply | None:
        nonlocal now_s
        now_s += piece_s if request.step in {SpeedStep.DOWN, SpeedStep.UP} else 0.0
        return HostSpeedReply(ok=True)

    assert (await measure(ask, HostId("h1"), Clock())).note == said


@pytest.mark.usefixtures("validating")
async def test_a_transfer_moves_at_most_two_megabytes(nats_server: EmbeddedServer):
    async with line_to(nats_server.port) as line:
        await measured_at(line.port)

        assert line.up_bytes + line.down_bytes <= BYTES_MAX
        assert line.up_bytes + line.down_bytes > PIECES * 64 * 1024


@pytest.mark.usefixtures("validating")
async def test_a_line_too_slow_for_one_piece_is_not_unmeasured(nats_server: EmbeddedServer):
    async with line_to(nats_server.port, down_mbps=0.4, up_mbps=0.4) as line:
        speed = await measured_at(line.port)

    assert speed.net_mbps is not None
    assert speed.net_mbps <= 64 * 1024 * 8 / 1e6 / WAY_S


async def test_who_measures_again_at_once_is_told_when(nats_server: EmbeddedServer, validating: Validating):
    await measured_at(nats_server.port)
    asked = validating.asked

    again = await measured_at(nats_server.port)

    assert (again.net_mbps, again.packet_rate) == (None, None)
    assert again.retry_s is not None
    assert 0 < again.retry_s <= 20
    assert again.requirements, "the rules are told all the same"
    assert validating.asked == asked + 1, "who is busy is not burdened"


async def test_without_a_validator_nothing_is_measured(nats_server: EmbeddedServer):
    speed = await measured_at(nats_server.port)

    assert speed == Speed(note="nobody answers host.speed")


@pytest.mark.parametrize("at", [20, 1 + PACKETS + 5])
async def test_a_validator_that_dies_within_makes_no_line_slow(nats_server: EmbeddedServer, validating: Validating, at: int):
    validating.at[at] = validating.fall_silent

    speed = await measured_at(nats_server.port)

    assert speed.net_mbps is None
    assert speed.note == "the server's side went silent"


@pytest.mark.parametrize("at", [20, 1 + PACKETS + 5])
async def test_a_validator_that_starts_anew_within_harms_nothing(nats_server: EmbeddedServer, validating: Validating, at: int):
    validating.at[at] = validating.forget

    speed = await measured_at(nats_server.port)

    assert speed.net_mbps is not None


@pytest.mark.usefixtures("validating")
async def test_a_real_agent_measures_its_machine_and_its_ways(
    nats_server: EmbeddedServer, operator: Operator, eventually: Eventually
):
    relay, nobody = f"127.0.0.1:{nats_server.port}", "127.0.0.1:1"

    async with agent("--nats", nats_server.url, "--host-id", "h1"):
        await eventually(lambda: operator.beats, BOUND_S)
        operator.order("h1", regions={Region("eu"): relay, Region("us"): nobody})
        await eventually(lambda: _whole(operator.beats[-1]), BOUND_S)

    first, last = operator.beats[0], operator.beats[-1]
    assert first.cpu_ghz is not None, "no heartbeat claims a clock nobody looked at"
    assert (first.net_mbps, first.packet_rate, first.latency_ms) == (None, None, None)
    assert (last.region_rtt_ms or {})[Region("us")] is None


def _whole(beat: HostMetrics) -> bool:
    measured = (beat.cpu_ghz, beat.cpu_cores, beat.free_ram_mb, beat.net_mbps, beat.latency_ms, beat.jitter_ms)
    rtts = beat.region_rtt_ms or {}
    return None not in (*measured, beat.packet_rate) and rtts.get(Region("eu")) is not None


class Somewhere:
    """A `ServerSide` over a bus."""

    host = HostId("h1")
    regions: Mapping[Region, str] = {}

    def __init__(self, bus: NatsBus) -> None:
        self.serving = True
        self._bus = bus

    async def ask_speed(self, request: HostSpeed, timeout_s: float) -> HostSpeedReply | None:
        reply = await self._bus.ask(request, timeout_s)
        return reply if isinstance(reply, HostSpeedReply) else None


async def test_the_line_is_left_alone_while_maps_run_here(
    nats_server: EmbeddedServer, validating: Validating, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
):
    monkeypatch.setattr(machine_module, "LINE_FIRST_S", (0.0, 0.0))
    monkeypatch.setattr(machine_module, "SERVING_WAIT_S", 0.02)
    machine = RealMachine(None, 6121, Clock(), random.Random(1))
    bus = await connect(nats_server.url, name="h1")
    server = Somewhere(bus)
    measuring = asyncio.create_task(machine.keep_measuring(server))

    await asyncio.sleep(0.5)  # many looks
    while_serving = validating.asked
    server.serving = False
    await eventually(lambda: machine.measure().net_mbps is not None, BOUND_S)

    measuring.cancel()
    await asyncio.gather(measuring, return_exceptions=True)
    await bus.close()
    assert while_serving == 0


async def test_pings_beside_a_transfer_say_nothing_of_the_path(nats_server: EmbeddedServer, validating: Validating):
    machine = RealMachine(None, 6121, Clock(), random.Random(1))
    bus = await connect(nats_server.url, name="h1")
    for _ in range(5):
        machine.observe_round_trip(0.001)

    validating.at[100] = lambda: machine.observe_round_trip(9.0)
    await machine.measure_line(Somewhere(bus))
    machine.observe_round_trip(9.0)  # began before the transfer ended

    assert machine.measure().latency_ms == pytest.approx(1.0)
    assert machine.measure().jitter_ms == pytest.approx(0.0)
    await bus.close()
