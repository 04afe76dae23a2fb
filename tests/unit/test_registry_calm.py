"""services/registry/calm: heartbeats that cost nothing, and nothing is ever said otherwise for it."""

import random
from typing import Any
from unittest.mock import patch

import pytest

from libs.events import HostDown, HostId, HostRtt, HostUp, MapReport, PlayersOnline, PlayersOnlineReply, Region, Reply
from libs.hosting.effects import Ask
from libs.hosting.world import Host
from services.registry.calm import Calm
from services.registry.judging import Judging
from services.registry.playing import GRACE_MS
from tests.unit.builders import EU, T0, US, assign, drain, enter, host_down, leave, verdict
from tests.unit.registry_bench import SILENCE_MS, Bench, report

WALKS = {
    "cpu_ghz": (2.6, 3.6),
    "free_ram_mb": (7_000.0, 12_000.0),
    "net_mbps": (80.0, 400.0),
    "latency_ms": (1.0, 40.0),
    "jitter_ms": (8.0, 18.0),
    "packet_rate": (80.0, 140.0),
}
"""Between which values each walks; every limit of the shipped configuration lies within."""
GROUPS: tuple[dict[str, dict[str, Any]], ...] = (
    {},
    {"regions": {}},
    {"general": {"hosts_bundle": "new"}},
    {"general": {"hosts_must_play": True}},
    {"failover": {"start_timeout": 3}, "host_requirements": {"max_disconnects_per_hour": 2}},
    {"host_requirements": {"slot_ram_mb": 512, "slots_per_core": 16.0, "slots_max": 64}},
)
BEATS = 200


class Walk:
    """A host whose values wander, a little at most heartbeats and far at few; and what else is said of it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        middle = {name: (low + high) / 2 for name, (low, high) in WALKS.items()}
        self._values: dict[str, Any] = {**middle, "cpu_cores": 4, "region": EU, "address": "192.0.2.7", "bundle": "new"}
        self._rtts: dict[Region, float | None] = {EU: 15.0}
        self._maps: dict[str, MapReport] = {}

    def beat(self, bench: Bench) -> None:
        chance = self._chance
        for name in chance.sample(list(WALKS), 2):
            low, high = WALKS[name]
            far = chance.random() < 0.05
            before = self._values[name]
            moved = (before if before is not None else low) + chance.gauss(0, (high - low) * (0.3 if far else 0.03))
            self._values[name] = None if chance.random() < 0.02 else min(high, max(low, moved))
        if chance.random() < 0.2:
            region = chance.choice((EU, US))
            before = self._rtts.get(region) or 15.0
            self._rtts[region] = None if chance.random() < 0.1 else max(0.0, before + chance.gauss(0, 0.6))
        if chance.random() < 0.02:
            self._values |= chance.choice(({"cpu_cores": 8}, {"cpu_cores": 4}, {"region": US}, {"address": None}))
        if chance.random() < 0.02:
            self._values["players_max"] = chance.choice((None, 3, 500))
        if chance.random() < 0.05:
            self._values["bundle"] = chance.choice(("new", "new", "old", None))
            self._values["bundle_refused"] = chance.choice((None, None, "older: no", "changed: npc/a.txt"))
        if chance.random() < 0.05:
            name = chance.choice(("m1", "m2"))
            self._maps[name] = report(chance.choice(("starting", "ready", "failed")), chance.randint(1, 3))
        if chance.random() < 0.03:
            self._maps.clear()
        bench.beat("h1", maps=dict(self._maps), region_rtt_ms=dict(self._rtts), **self._values)

    def else_(self, bench: Bench) -> None:
        chance = self._chance
        happens = chance.random()
        if happens < 0.03:
            bench.log.say(assign(chance.choice(("m1", "m2")), chance.choice(("h1", "h2", None))))
        elif happens < 0.04:
            bench.log.say(drain("h1", chance.random() < 0.3))
        elif happens < 0.06:
            bench.log.say(verdict("h1", bench.now_ms + 3_000 if chance.random() < 0.1 else None, trust=chance.random()))
        elif happens < 0.07:
            hour_ago_ms = bench.now_ms - 3_600_000
            bench.log.say(host_down("h1", disconnects_ms=[hour_ago_ms + chance.randint(0, 60_000) for _ in range(2)]))
        elif happens < 0.10:
            bench.log.say(enter(account_id=1) if chance.random() < 0.7 else leave())
        elif happens < 0.13:
            p50_ms = chance.uniform(0, 40)
            rtt = HostRtt(host=HostId("h1"), at_ms=T0, region=EU, p50_ms=p50_ms, p95_ms=p50_ms)
            bench.registry.on_heard(rtt, bench.now_ms)
        bench.wait(chance.choice((200, 500, 500, 500, 2_000)))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_same_is_said_as_if_every_heartbeat_were_judged(seed: int, judged: list[str]) -> None:
    calm = _walked(seed)
    with_calm = len(judged)
    with patch.object(Calm, "holds", lambda *_: False):
        every = _walked(seed)
    judged_every = len(judged) - with_calm

    assert calm.events == every.events
    assert calm.orders == every.orders
    assert with_calm <= judged_every


def _walked(seed: int) -> Bench:
    bench, walk = Bench(answer=_online, **GROUPS[seed % len(GROUPS)]), Walk(seed)
    for _ in range(BEATS):
        walk.beat(bench)
        walk.else_(bench)
    return bench


def _online(ask: Ask) -> Reply | None:
    return PlayersOnlineReply(at_ms=T0, accounts=[1]) if isinstance(ask.request, PlayersOnline) else None


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts judged so far, in order."""
    hosts_judged: list[str] = []
    judge = Judging.judge

    def spy(judging: Judging, host: Host, *rest: Any) -> HostUp | HostDown | None:
        hosts_judged.append(host.id)
        return judge(judging, host, *rest)

    monkeypatch.setattr(Judging, "judge", spy)
    return hosts_judged


# That it does spare something, and what ends it.


def test_a_steady_host_is_hardly_ever_judged(judged: list[str]) -> None:
    bench = Bench()

    bench.beat_for(60_000, "h1", free_ram_mb=9_000.0)
    steady = len(judged)
    for step in range(100):
        bench.beat_for(500, "h1", free_ram_mb=9_000.0 + step % 7, latency_ms=15.0 + step % 3 / 10)

    assert steady <= 8  # at first, and once for each order that is said again
    assert len(judged) - steady <= 7


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_cores": 8},
        {"cpu_ghz": None},
        {"address": "198.51.100.9"},
        {"region": US},
        {"account_id": 2},
        {"free_ram_mb": 8_100.0},
        {"latency_ms": 29.0},
        {"region_rtt_ms": {EU: 15.0, US: 15.0}},
        {"maps": {"m1": report()}},
        {"leaving": True},
    ],
)
def test_a_heartbeat_that_may_change_something_is_judged_at_once(change: dict[str, Any], judged: list[str]) -> None:
    bench = Bench()
    bench.beat_for(2_000, "h1")
    judged.clear()
    bench.beat()
    assert judged == []

    bench.beat(**change)

    assert judged != []


def test_a_host_called_dead_too_early_is_up_again_with_its_next_heartbeat() -> None:
    bench = Bench()
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    bench.beat_for(3_000, "h1", maps={"m1": report()})
    before = len(bench.ups)
    bench.wait(SILENCE_MS)
    assert [down.reason for down in bench.downs] == ["silent"]

    bench.beat(maps={"m1": report()})

    assert len(bench.ups) == before + 1


def test_the_end_of_a_grace_is_not_slept_through() -> None:
    bench = Bench(general={"hosts_must_play": True}, answer=_online)
    bench.beat_for(1_000, "h1")
    bench.answer = lambda _: None
    bench.log.say(leave())

    bench.beat_for(GRACE_MS - 500, "h1")
    assert bench.downs == []
    bench.beat_for(1_000, "h1")

    assert [down.reason for down in bench.downs] == ["drained"]


@pytest.mark.parametrize(
    ("drifting", "by"), [("cpu_ghz", 0.03), ("free_ram_mb", 60.0), ("net_mbps", 4.0), ("latency_ms", -0.09), ("eu", -0.09)]
)
def test_a_slow_drift_is_said_again_exactly_where_it_has_come_far_enough(drifting: str, by: float) -> None:
    def drifted() -> Bench:
        bench = Bench(host_requirements={"slots_max": 1})
        values = {"cpu_ghz": 3.0, "free_ram_mb": 9_000.0, "net_mbps": 150.0, "latency_ms": 29.0, "eu": 29.0}
        for _ in range(300):
            values[drifting] += by
            measured = {name: value for name, value in values.items() if name != "eu"}
            bench.beat_for(500, "h1", region_rtt_ms={EU: values["eu"]}, **measured)
        return bench

    calm = drifted()
    with patch.object(Calm, "holds", lambda *_: False):
        every = drifted()

    assert calm.events == every.events
    assert len(every.events) >= 3
