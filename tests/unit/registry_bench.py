"""A registry driven as a shell drives it, by a hand-wound clock; for the tests of services/registry."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from libs.config import Settings
from libs.events import (
    Event,
    HostDown,
    HostId,
    HostLost,
    HostMetrics,
    HostOrder,
    HostUp,
    MapName,
    MapReport,
    NodeName,
    OpsAlert,
    Region,
    Reply,
)
from libs.hosting.effects import Append, Ask, Committed, Outcome, Probe, Refused, Say
from services.registry.core import Registry
from services.registry.observed import Observed
from tests.unit.builders import T0, Log, assign, rules

IDLE_MS, BUSY_MS, SILENCE_MS, SUSPICION_MS = 2_000, 500, 2_500, 1_000
IDLE_SILENCE_MS = SILENCE_MS + IDLE_MS - BUSY_MS
STEADY_MS = 3 * (SILENCE_MS - BUSY_MS) // 4
"""What a host may be late that never was."""
STEP_MS = 50


@dataclass(frozen=True)
class Connection:
    """As libs.bus.port has it."""

    connected: bool
    user: str
    name: str
    id: int
    server: str
    address: str
    at_ms: int
    reason: str


class Bench:
    """A registry, its log and its clock. `up`, `down`, `orders`: what it has said, oldest first. answer: what becomes of an
    `Ask`, after answers_after_ms; nobody answers by default."""

    def __init__(
        self,
        *,
        active: bool = True,
        answer: Callable[[Ask], Reply | None] = lambda _: None,
        answers_after_ms: int = 0,
        **groups: dict[str, Any],
    ) -> None:
        self.answer, self._answers_after_ms = answer, answers_after_ms
        self.asked: list[Ask] = []
        self._replies: list[tuple[int, Ask]] = []
        groups.setdefault("monitoring", {"heartbeat_idle_ms": IDLE_MS, "heartbeat_busy_ms": BUSY_MS})
        failover = {"silence_ms": SILENCE_MS, "suspicion_ms": SUSPICION_MS}
        groups["failover"] = failover | groups.get("failover", {})
        self.settings: Settings = rules(**groups)
        self.now_ms = T0
        self.registry = Registry(self.settings, name=NodeName("registry-1"), started_ms=T0)
        self.log = Log(lambda fact: self.registry.on_fact(fact, self.now_ms))
        self.refuse = False
        self.seqs: Counter[str] = Counter()
        self.probes = 0
        self.answers: bool | None = True
        self.said: list[Event] = []
        self.written: list[Append] = []
        self.registry.on_caught_up(T0)
        if active:
            self.registry.on_lease(1, T0)

    def beat(self, host: str = "h1", **values: Any) -> None:
        self.seqs[host] += 1
        self.registry.on_heard(metrics(host, **{"seq": self.seqs[host], **values}), self.now_ms)
        self.step()

    def beat_for(self, duration_ms: int, *hosts: str, every_ms: int = BUSY_MS, **values: Any) -> None:
        """Time passes while these hosts beat."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            for host in hosts:
                self.beat(host, **values)
            self.wait(every_ms)

    def wait(self, duration_ms: int) -> None:
        """Time passes, stepped as a shell does."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + STEP_MS)
            self._answer()
            self.step()

    def _answer(self) -> None:
        for due_ms, ask in list(self._replies):
            if due_ms <= self.now_ms:
                self._replies.remove((due_ms, ask))
                self.registry.on_reply(ask, self.answer(ask), self.now_ms)

    def step(self) -> None:
        """As a shell does: again at once where the bus has answered a probe."""
        probes = self.probes
        self._step()
        if self.probes != probes and self.answers is not None:
            self._step()

    def connection(
        self,
        connected: bool,
        host: str = "h1",
        number: int = 1,
        user: str = "",
        at_ms: int = T0,
        address: str = "192.0.2.7",
    ) -> None:
        """The server's word that a connection came or ended."""
        said = Connection(connected, user, host, number, "n1", address, at_ms + number, "")
        self.registry.on_connection(said, self.now_ms)
        self.step()

    def lost(self, host: str = "h1") -> None:
        """The bridge's word that its link ended."""
        self.registry.on_heard(HostLost(host=HostId(host), at_ms=T0, link="l"), self.now_ms)
        self.step()

    def _step(self) -> None:
        for effect in self.registry.step(self.now_ms):
            if isinstance(effect, Append):
                self.written.append(effect)
                self.settle(effect, Refused(self.last_of(effect)) if self.refuse else None)
            elif isinstance(effect, Say):
                self.said.append(effect.event)
            elif isinstance(effect, Probe):
                self.probes += 1
                if self.answers is not None:
                    self.registry.on_probed(effect, self.answers, self.now_ms)
            elif isinstance(effect, Ask):
                self.asked.append(effect)
                self._replies.append((self.now_ms + self._answers_after_ms, effect))

    def settle(self, write: Append, outcome: Outcome | None = None) -> None:
        """None: it is committed."""
        outcome = outcome or Committed(self.log.say(write.event).seq)
        self.registry.on_settled(write, outcome, self.now_ms)

    def last_of(self, write: Append) -> int:
        return self.registry.world.host(write.event.host).fact_seq

    @property
    def events(self) -> list[Event]:
        return [write.event for write in self.written]

    @property
    def ups(self) -> list[HostUp]:
        return [event for event in self.events if isinstance(event, HostUp)]

    @property
    def downs(self) -> list[HostDown]:
        return [event for event in self.events if isinstance(event, HostDown)]

    @property
    def orders(self) -> list[HostOrder]:
        return [event for event in self.said if isinstance(event, HostOrder)]


def serve(bench: Bench, *, beats: int = 12, late_ms: int = 0) -> None:
    """h1 serves m1 and beats as a busy host does; one of its last heartbeats was late by late_ms."""
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    for number in range(beats):
        bench.wait(BUSY_MS + late_ms * (number == beats - 2))
        bench.beat(maps={"m1": report()})
    assert bench.ups
    assert bench.downs == []


def met(*hosts: str) -> Observed:
    """Of hosts that were just met."""
    observed = Observed()
    for host in hosts or ("h1",):
        observed.meet(HostId(host), T0)
    return observed


def metrics(host: str = "h1", maps: dict[str, MapReport] | None = None, leaving: bool = False, **values: Any) -> HostMetrics:
    fields = {
        "account_id": 1,
        "at_ms": T0 + 3_600_000,  # a player's clock is never to be trusted
        "seq": 1,
        "address": "192.0.2.7",
        "port": 6121,
        "region": Region("eu"),
        "cpu_ghz": 4.0,
        "cpu_cores": 4,
        "free_ram_mb": 9_000.0,
        "net_mbps": 500.0,
        "latency_ms": 15.0,
        "jitter_ms": 2.0,
        "packet_rate": 500.0,
        "region_rtt_ms": {Region("eu"): 15.0},
    }
    running = {MapName(name): report for name, report in (maps or {}).items()}
    return HostMetrics(host=HostId(host), maps=running, leaving=leaving, **{**fields, **values})


def report(state: str = "ready", tenure: int = 1) -> MapReport:
    return MapReport(tenure=tenure, state=state)


def alerts(bench: Bench) -> list[str]:
    return [event.what for event in bench.said if isinstance(event, OpsAlert)]


def notes(bench: Bench) -> str:
    return " ".join(bench.orders[-1].notes)
