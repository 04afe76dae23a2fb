"""A registry process on a real nats-server: judged at the door, echoed, and told by a relay that timed the host."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from bench import place
from libs.bus.embedded import EmbeddedServer
from libs.bus.nats import NatsBus, connect
from libs.bus.port import Start
from libs.config import Nats
from libs.events import (
    Fact,
    HostCheck,
    HostCheckReply,
    HostDown,
    HostId,
    HostRtt,
    HostUp,
    MapEnter,
    MapName,
    PlayersOnline,
    PlayersOnlineReply,
    Region,
    Stream,
)
from libs.events.proof import proof_of
from libs.hosting.effects import Append, Committed
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured
from services.relay.effects import Dial
from services.relay.onbus import OnBus
from services.relay.timing import Timing
from tests.rathena.figures import count, tell

pytestmark = pytest.mark.nats

Eventually = Callable[..., Awaitable[None]]
EU = Region("eu")
STRONG = Measured("127.0.0.1", 6121, 4.2, 16, 24_000.0, 900.0, 8.0, 1.5, 2_000.0, {EU: 8.0})
MUST_PLAY = {"KAFRA__GENERAL__HOSTS_MUST_PLAY": "1"}
ENTERS = count(20, 200)


class Town:
    """A bus, and what became of hosts as its log has it. up_ms: when each host.up was seen, by the loop's clock."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.ups: dict[str, list[HostUp]] = {}
        self.downs: dict[str, list[HostDown]] = {}
        self.up_s: dict[str, float] = {}
        self._agents: dict[str, Agent] = {}

    def on_fact(self, fact: Fact) -> None:
        if isinstance(fact.event, HostUp):
            self.ups.setdefault(fact.event.host, []).append(fact.event)
            self.up_s[fact.event.host] = asyncio.get_running_loop().time()
        elif isinstance(fact.event, HostDown):
            self.downs.setdefault(fact.event.host, []).append(fact.event)

    def beat(self, host: str, account: int = 1, **measured: Any) -> None:
        agent = self._agents.setdefault(host, Agent(Identity(HostId(host), account, EU)))
        self.bus.say(agent.metrics(replace(STRONG, **measured), {}, Clock().now_ms()))

    async def enter(self, account: int) -> None:
        event = MapEnter(
            map=MapName("m1"), account_id=account, char_id=1, at_ms=Clock().now_ms(), region=EU, from_map=None, x=1, y=1
        )
        assert isinstance(await self.bus.append(Append(event, None)), Committed)


@contextlib.asynccontextmanager
async def town(more: dict[str, str] | None = None) -> AsyncIterator[tuple[Town, str]]:
    """A nats-server, a registry process on it, and our own connection."""
    async with place.server() as url, place.process("registry", "services.registry", url=url, more=more):
        bus = await connect(url, name="test")
        try:
            made = Town(bus)
            await bus.follow([Stream.HOSTS], made.on_fact, Start.ALL)
            yield made, url
        finally:
            await bus.close()


async def test_a_fit_host_is_up_when_its_player_enters_a_map(eventually: Eventually):
    async with town(MUST_PLAY) as (made, _):
        loop, asked = asyncio.get_running_loop(), []

        async def online(question: PlayersOnline) -> PlayersOnlineReply:
            asked.append(question)
            return PlayersOnlineReply(at_ms=question.at_ms, accounts=[10_000])

        await made.bus.answer(PlayersOnline, online)
        hosts = [f"h{number}" for number in range(ENTERS)]
        for number, host in enumerate(hosts):
            made.beat(host, number)
        made.beat("in_already", 10_000)
        await eventually(lambda: asked and "in_already" in made.ups, 30)
        assert set(made.ups) == {"in_already"}

        took_ms = []
        for number, host in enumerate(hosts):
            entered_s = loop.time()
            await made.enter(number)
            await eventually(lambda host=host: host in made.ups)
            took_ms.append((made.up_s[host] - entered_s) * 1000)

        tell("map.enter to host.up", took_ms)


async def test_a_host_that_answers_later_than_it_claims_is_out(eventually: Eventually):
    async with town() as (made, _):

        async def late(check: HostCheck) -> HostCheckReply:
            if check.host == "liar":
                await asyncio.sleep(0.15)
            return HostCheckReply(proof=proof_of(check))

        await made.bus.answer(HostCheck, late)

        def beaten_out() -> bool:
            for host in ("liar", "honest"):
                made.beat(host, latency_ms=5.0)
            return bool(made.downs.get("liar"))

        await eventually(beaten_out, 30)

        assert made.downs["liar"][0].reason == "unfit"
        assert "net_max_latency" in made.downs["liar"][0].detail
        assert "honest" in made.ups
        assert "honest" not in made.downs


def timed_on(url: str) -> tuple[Timing, "asyncio.Future[list[None]]"]:
    """A relay's timing, and what runs it."""
    bus = OnBus(Nats(url=url))
    timing = Timing(EU, bus, connect_timeout_s=1.0)
    return timing, asyncio.gather(bus.run(), timing.run())


async def test_what_a_relay_timed_is_in_host_up(eventually: Eventually):
    async with town() as (made, url), _accepting() as port:
        heard: list[HostRtt] = []
        await made.bus.hear(HostRtt, heard.append)
        made.beat("h1", region_rtt_ms={EU: 0.0})
        await eventually(lambda: "h1" in made.ups)
        timing, running = timed_on(url)
        try:
            for _ in range(5):
                timing.on_rtt(Dial(1, "h1/m1", "127.0.0.1", port), 77.0)

            def is_in() -> bool:
                made.beat("h1", region_rtt_ms={EU: 0.0})
                return made.ups["h1"][-1].spec.region_rtt_ms == {EU: 77.0}

            await eventually(is_in, 30)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        assert [(rtt.region, rtt.p50_ms) for rtt in heard if rtt.host == "h1"][:1] == [(EU, 77.0)]


async def test_a_relay_times_a_host_itself_once_it_knows_where_it_is(eventually: Eventually):
    async with town() as (made, url), _accepting() as port:
        heard: list[HostRtt] = []
        await made.bus.hear(HostRtt, heard.append)
        timing, running = timed_on(url)
        try:
            timing.on_rtt(Dial(1, "h1/m1", "127.0.0.1", port), 50.0)
            timing.on_rtt(Dial(1, "gone/m1", "127.0.0.1", 1), 50.0)

            await eventually(lambda: heard, 30)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        assert heard[0].host == "h1"
        assert heard[0].p50_ms < 50.0  # two of the three are its own, on loopback


async def test_a_relay_without_a_bus_times_on_and_says_it_when_there_is_one(
    nats_server: EmbeddedServer, eventually: Eventually, caplog: pytest.LogCaptureFixture
):
    url = nats_server.url
    await nats_server.stop()
    timing, running = timed_on(url)
    try:
        for _ in range(5):
            timing.on_rtt(Dial(1, "h1/m1", "127.0.0.1", 1), 77.0)
        await eventually(lambda: "players are served without it" in caplog.text, 30)
        await nats_server.start()
        bus = await connect(url, name="test")
        heard: list[HostRtt] = []
        await bus.hear(HostRtt, heard.append)
        await eventually(lambda: heard, 90)
        await bus.close()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert heard[0].p50_ms == 77.0


@contextlib.asynccontextmanager
async def _accepting() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
