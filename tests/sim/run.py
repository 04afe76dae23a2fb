"""One seed from beginning to end: build the world, let things go wrong, let it become quiet, judge.

In: a seed. Out: a `Report`. Called by tests/sim/__main__.py and tests/sim/test_seeds.py.
"""

import hashlib
import random
import re
import traceback
from collections import Counter, deque
from dataclasses import dataclass, field

from libs.bus.memory_log import MemoryLog
from libs.config import Settings
from libs.events import Fact, HostId, HostLost, HostMetrics, HostRtt, Stream, subject_of
from libs.hosting.effects import Append
from libs.hosting.looks import DecidingCore
from services.failover.core import Failover
from services.ops.demo.machines import machines
from services.registry.core import Registry
from services.scorer.core import Scorer
from services.validator.core import Validator
from tests.sim.bridge import Bridge
from tests.sim.chaos import Chaos
from tests.sim.clock import MS, SECOND, START_MS, Clock
from tests.sim.judge import Judge, Violation
from tests.sim.machines import SimHost
from tests.sim.network import Network
from tests.sim.parts import Parts
from tests.sim.plan import Plan, plan_for
from tests.sim.process import Kind, Process
from tests.sim.redecide import STREAMS
from tests.sim.server import Server
from tests.sim.verdict import detection_us, violations

STORY_LINES = 30
STORY_KEPT = 100_000
LINE_MAX = 260
UNTOLD = ("candidates", "score", "refused", "spec", "config", "look", "decider", "x", "y", "account_id", "char_id", "evidence")
"""Fields that make a line long and are seldom the reason; `kafra explain` shows them in earnest."""
CLOCK_OFF_MS = 3_600_000
"""How wrong a player's clock may be."""


@dataclass(slots=True)
class Report:
    """What came of a seed. hash: of the whole log, for comparing runs. story: the last lines of what happened."""

    seed: int
    violation: str | None = None
    hash: str = ""
    acts: int = 0
    virtual_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For whoever must find out why."""
        if self.violation is None:
            return f"seed {self.seed}: ok, {self.acts} events, {self.virtual_s:.0f} virtual s, log {self.hash[:16]}"
        story = "\n".join(f"    {line}" for line in self.story)
        return (
            f"seed {self.seed}: {self.violation}\n  the last {len(self.story)} lines before:\n{story}\n"
            f"  again: python -m tests.sim --seed {self.seed} --verbose"
        )


def run(seed: int, story_lines: int = STORY_LINES) -> Report:
    simulation = Simulation(plan_for(seed), story_lines)
    return simulation.run()


def kinds(settings: Settings, rng: random.Random) -> list[Kind]:
    """The services, as their shells describe them (services/*/shell.py)."""
    streams = (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS)
    config = settings.hash()

    def nonce() -> str:
        return f"{rng.getrandbits(128):032x}"

    return [
        Kind(
            "registry",
            streams,
            (HostMetrics, HostLost, HostRtt),
            True,
            lambda name, now_ms: Registry(settings, name=name, started_ms=now_ms),
            watches=True,
        ),
        Kind("scorer", streams, (), False, lambda name, _: DecidingCore(Scorer(settings), name=name, config=config)),
        Kind("failover", streams, (), False, lambda name, _: DecidingCore(Failover(settings), name=name, config=config)),
        Kind("validator", (Stream.HOSTS,), (HostMetrics,), False, lambda name, _: Validator(settings, name=name, nonce=nonce)),
    ]


class Simulation:
    def __init__(self, plan: Plan, story_lines: int = STORY_LINES) -> None:
        self.plan = plan
        self._rng = random.Random(f"run {plan.seed}")
        self.clock = Clock()
        self._story: deque[tuple[int, str, object]] = deque(maxlen=STORY_KEPT)
        self._story_lines = story_lines
        self.network = Network(self.clock, random.Random(f"network {plan.seed}"), plan.weather)
        self.server = Server(self.clock, self.network)
        self.parts = Parts(
            settings=plan.settings,
            clock=self.clock,
            rng=self._rng,
            network=self.network,
            server=self.server,
            settle_us=plan.settle_ms * MS,
            lease_ttl_us=plan.lease_ttl_ms * MS,
            on_acknowledged=self._on_acknowledged,
        )
        self.hosts = {HostId(host.name): host for host in self._make_hosts()}
        self.processes = self._make_processes()
        self.bridge = Bridge(self.parts, self.hosts, plan.maps, plan.move_fails)
        self.judge = Judge(plan, self.clock, self.processes, self.hosts)
        self.server.on_append = self._on_append
        self.server.on_lost_word = lambda _, event: self.judge.on_lost_word(event)
        for host in self.hosts.values():
            host.on_wrong_order = self.judge.on_wrong_order
        self.chaos = Chaos(plan, self.clock, self.network, self.server, self.processes, self.hosts, self.bridge, self._note)

    def run(self) -> Report:
        report = Report(self.plan.seed)
        try:
            self._run_phases()
            found = violations(self.plan, self.server.log, self.judge, self.processes, self.hosts, self.clock.now_ms)
            if (first := next(found, None)) is not None:
                report.violation = str(first)
        except Violation as violation:
            report.violation = str(violation)
        except Exception:  # noqa: BLE001 - a core that raises is a finding like any other
            report.violation = f"crash: {traceback.format_exc()}"
        report.hash = log_hash(self.server.log)
        report.acts, report.virtual_s = self.clock.acts, self.clock.now_us / SECOND
        report.counts = self.judge.counts + self.parts.counts
        report.story = self._lines(report.violation)
        return report

    def _run_phases(self) -> None:
        self.clock.run_until(self.plan.duration_s * SECOND)
        self._note("quiet", "all faults end, players stand still")
        self.chaos.stop()
        self.clock.run_until(self.clock.now_us + detection_us(self.plan))

    def _make_hosts(self) -> list[SimHost]:
        """They join over the first seconds."""
        made = []
        for machine in machines(self.plan.hosts, self.plan.regions, self._rng):
            offset_ms = self._rng.randint(-CLOCK_OFF_MS, CLOCK_OFF_MS)
            cheats = 0.8 if self._rng.random() < self.plan.cheats else 0.0
            limits, fails = self.plan.limits, self.plan.host_fails
            host = SimHost(self.parts, machine, offset_ms=offset_ms, cheats=cheats, fails=fails, limits=limits)
            self.clock.after(self._rng.randint(0, 4 * SECOND), host.start)
            made.append(host)
        return made

    def _make_processes(self) -> list[Process]:
        made = []
        for kind in kinds(self.plan.settings, self._rng):
            for replica in range(1, self.plan.replicas[kind.name] + 1):
                made.append(Process(self.parts, kind, replica, self._rng.randint(-self.plan.skew_ms, self.plan.skew_ms)))
        return made

    def _on_append(self, fact: Fact, msg_id: str, by: str) -> None:
        self._story.append((self.clock.now_us, by, fact))
        self.judge.on_append(fact, msg_id, by)

    def _on_acknowledged(self, msg_id: str, write: Append, seq: int) -> None:
        self.judge.on_acknowledged(msg_id, write, seq)

    def _note(self, what: str, text: str) -> None:
        self.judge.counts[f"fault {what}"] += 1
        self._story.append((self.clock.now_us, what, text))

    def _lines(self, violation: str | None) -> list[str]:
        """The story; of a violation, the last lines about whom it names, and the faults."""
        lines = [_line(*item) for item in self._story]
        if self._story_lines > STORY_LINES or violation is None:
            return lines[-self._story_lines :]
        named = set(re.findall(r"\b(?:sim-\w+-\d+|(?:fld|town)_\w+|(?:registry|scorer|failover|validator)-\d+)\b", violation))
        about = [line for line in lines if _is_rare(line) or any(name in line for name in named)]
        return [line[:LINE_MAX] for line in about[-STORY_LINES:]]


def _is_rare(line: str) -> bool:
    """A fault or a decision; of players and hosts only what is about somebody named is told."""
    return " MAPS " not in line and " HOSTS " not in line


def _line(at_us: int, who: str, what: object) -> str:
    if isinstance(what, Fact) and what.event is not None:
        fields = {name: getattr(what.event, name) for name in what.event.__struct_fields__ if name not in UNTOLD}
        what = f"{what.stream} {what.seq} {subject_of(what.event)} " + " ".join(f"{k}={v}" for k, v in fields.items())
    return f"{at_us / SECOND:9.4f} {who}: {what}"


def log_hash(log: MemoryLog) -> str:
    """Of every byte stored, its place, its Msg-Id and its time."""
    digest = hashlib.sha256()
    for stream in STREAMS:
        for kept in log.read(stream):
            digest.update(f"{kept.subject} {kept.seq} {kept.msg_id} {kept.fact.stored_ms - START_MS}\n".encode())
            digest.update(kept.body)
    return digest.hexdigest()
