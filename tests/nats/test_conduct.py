"""A registry process on a real nats-server, and hosts that speak wrongly: what becomes of them, and what they are told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.bus.nats import NatsBus, connect
from libs.events import HostId, HostOrder, OpsAlert, OpsEnroll, Region
from libs.hosting.effects import Append, Committed
from libs.runtime.clock import Clock
from services.agent.core import Agent, Identity, Measured
from tests.nats.deaths import READY_S, Eventually, Land, land

pytestmark = [pytest.mark.nats, pytest.mark.timeout(180)]

HOUR_MS = 3_600_000
STRONG = Measured("198.51.100.10", 6121, 4.2, 16, 24_000.0, 900.0, 8.0, 1.5, 2_000.0)
BOUND_S = 40.0


class Voice:
    """One agent process as the server sees it: a connection of its own, and its own numbers."""

    def __init__(self, bus: NatsBus, host: str, account: int, region: str) -> None:
        self.bus = bus
        self.agent = Agent(Identity(HostId(host), account, Region(region)))
        self.orders: list[HostOrder] = []
        self._beating: asyncio.Task[None] | None = None

    def beat(self, off_ms: int = 0) -> None:
        self.bus.say(self.agent.metrics(STRONG, {}, Clock().now_ms() + off_ms))

    def beat_every(self, seconds: float, off_ms: int = 0, step_ms: int = 0) -> None:
        """step_ms: how its clock runs from beat to beat, besides."""

        async def beating() -> None:
            off = off_ms
            while True:
                self.beat(off)
                off += step_ms
                await asyncio.sleep(seconds)

        self._beating = asyncio.create_task(beating())

    async def hush(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    def told(self, word: str) -> bool:
        return any(word in note for order in self.orders[-1:] for note in order.notes)


@contextlib.asynccontextmanager
async def voice(made: Land, host: str = "h1", account: int = 1, region: str = "eu") -> AsyncIterator[Voice]:
    bus = await connect(made.url, name=host)
    speaker = Voice(bus, host, account, region)
    await bus.hear(HostOrder, speaker.orders.append, token=host)
    try:
        yield speaker
    finally:
        await speaker.hush()
        await bus.close()


async def alerts(made: Land) -> list[OpsAlert]:
    heard: list[OpsAlert] = []
    await made.bus.hear(OpsAlert, heard.append)
    return heard


async def test_clocks_that_are_off_or_run_backwards_change_nothing(eventually: Eventually):
    async with land() as made, voice(made, "fast") as fast, voice(made, "slow") as slow, voice(made, "back") as back:
        fast.beat_every(0.2, HOUR_MS)
        slow.beat_every(0.2, -HOUR_MS)
        back.beat_every(0.2, step_ms=-60_000)
        await eventually(lambda: all(map(made.is_up, ("fast", "slow", "back"))), READY_S)
        now_ms = Clock().now_ms()
        await asyncio.sleep(3)

        assert made.downs() == []
        for name in ("fast", "slow", "back"):
            assert abs(made.world.host(HostId(name)).up.at_ms - now_ms) < 60_000, "the registry's clock, not the host's"


async def test_who_floods_is_told_then_out(eventually: Eventually):
    async with land() as made, voice(made) as calm, voice(made, "loud") as loud:
        said = await alerts(made)
        calm.beat_every(0.3)
        loud.beat_every(0.002)
        await eventually(lambda: made.is_up("h1") and made.is_up("loud"), READY_S)
        await eventually(lambda: loud.told("too many heartbeats"), BOUND_S)
        await eventually(lambda: made.downs("loud"), BOUND_S)

        (down,) = made.downs("loud")
        assert (down.reason, down.disconnects_ms) == ("unfit", [])
        assert "too many heartbeats" in down.detail
        assert ("loud", "flooding") in [(alert.about, alert.what) for alert in said]
        assert made.is_up("h1")


async def test_of_two_agents_with_one_identity_the_newer_connection_counts(eventually: Eventually):
    async with land() as made, voice(made, region="old") as old:
        said = await alerts(made)
        old.beat_every(0.2)
        await eventually(lambda: made.is_up("h1"), READY_S)
        await asyncio.sleep(1)

        async with voice(made, region="new") as new:
            new.beat_every(0.2)
            await eventually(lambda: old.told("two agents") and new.told("two agents"), BOUND_S)
            await eventually(lambda: made.world.host(HostId("h1")).up.region == "new", BOUND_S)
            ups = len(made.facts)
            await asyncio.sleep(2)

            assert made.world.host(HostId("h1")).up.region == "new"
            assert len(made.facts) == ups, "it does not go to and fro"
        assert [alert.what for alert in said].count("doubled") == 1
        await eventually(lambda: made.world.host(HostId("h1")).up.region == "old", BOUND_S)
        assert made.downs() == []


async def test_an_agent_that_starts_again_is_no_second_one(eventually: Eventually):
    async with land() as made:
        said = await alerts(made)
        async with voice(made) as first:
            first.beat_every(0.1)
            await eventually(lambda: made.is_up("h1"), READY_S)
            await asyncio.sleep(1)
        async with voice(made, region="new") as second:
            second.beat_every(0.1)
            await eventually(lambda: made.world.host(HostId("h1")).up.region == "new", BOUND_S)
            await asyncio.sleep(2)

            assert made.downs() == [], "it was back before anybody could call it dead"
            assert not second.told("two agents")
        assert "doubled" not in [alert.what for alert in said]


async def test_a_host_that_says_another_account_than_it_is_enrolled_for(eventually: Eventually):
    async with land() as made, voice(made, account=8) as liar:
        said: list[Any] = await alerts(made)
        liar.beat_every(0.2)
        await eventually(lambda: made.is_up("h1"), READY_S)

        bound = OpsEnroll(host=HostId("h1"), at_ms=Clock().now_ms(), key="U" + "A" * 55, account_id=7, by="test")
        assert isinstance(await made.bus.append(Append(bound, None)), Committed)
        await eventually(lambda: made.downs("h1"), BOUND_S)
        await eventually(lambda: liar.told("account"), BOUND_S)

        assert (made.downs("h1")[0].reason, made.downs("h1")[0].disconnects_ms) == ("unfit", [])
        assert [alert.what for alert in said if alert.about == "h1"] == ["account"]
