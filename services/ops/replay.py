"""Decides every decision of the log again, at its recorded basis, and compares (DESIGN D4). Pure; replay_log.py reads the log.

For each decider its own world is folded forward from look to look, as the process itself had done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from libs.config import Settings
from libs.events import Basis, ConfigApplied, Fact, MapAssign, NodeName, Stream
from libs.hosting.looks import Decider, Look
from services.failover.core import Failover
from services.scorer.core import Scorer

DECIDERS: Mapping[str, Callable[[Settings], Decider]] = {"scorer": Scorer, "failover": Failover}
"""By the decider's name up to its last `-`."""
BELOW_HORIZON = "below the horizon: what they were decided on is no longer kept"

WHOLE = Basis(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that would not be made so today. field: the first that differs, or `decision` where none was made."""

    map: str
    seq: int
    decider: str
    look: str
    field: str
    committed: object
    replayed: object

    def __str__(self) -> str:
        return (
            f"ASSIGNMENTS {self.seq}: {self.map} by {self.decider}, look {self.look}: {self.field} "
            f"was {self.committed!r}, replayed {self.replayed!r}"
        )


@dataclass(slots=True)
class Report:
    """skipped: why -> how many decisions were not replayed (an unknown decider, an unknown configuration)."""

    looks: int = 0
    decisions: int = 0
    deciders: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def skip(self, why: str, count: int) -> None:
        self.skipped[why] = self.skipped.get(why, 0) + count


@dataclass(frozen=True, slots=True)
class Log:
    """The three streams, each in order, all that is kept. horizon: of each stream; a decision whose basis lies below one cannot
    be decided again (DESIGN section 4)."""

    hosts: Sequence[Fact]
    maps: Sequence[Fact]
    assignments: Sequence[Fact]
    horizon: Basis = WHOLE

    def reaches(self, basis: Basis) -> bool:
        """Whether the world at this basis can be rebuilt."""
        horizon = self.horizon
        return basis.hosts >= horizon.hosts and basis.maps >= horizon.maps and basis.assignments >= horizon.assignments

    def configurations(self) -> dict[str, Settings]:
        """Hash -> settings, as said by config.applied."""
        applied = (fact.event for fact in self.hosts if isinstance(fact.event, ConfigApplied))
        return {event.hash: Settings.from_public(event.settings) for event in applied}


def verify(log: Log, on_progress: Callable[[int], None] = lambda _: None, first_only: bool = True) -> Report:
    """Every look of every decider again. on_progress(decisions replayed so far). first_only: the first in the log alone,
    since a forged decision makes later ones, by other deciders, look wrong."""
    report = Report()
    configurations = log.configurations()
    for decider, looks in sorted(_looks(log.assignments).items()):
        report.deciders += 1
        for found in _verify_decider(decider, looks, log, configurations, report):
            report.differences.append(found)
            if first_only:
                break
        on_progress(report.decisions)
    report.differences.sort(key=lambda difference: difference.seq)
    if first_only:
        del report.differences[1:]
    return report


def _looks(assignments: Sequence[Fact]) -> dict[NodeName, dict[str, list[Fact]]]:
    """Decider -> look -> its committed decisions, in the order of the log."""
    looks: dict[NodeName, dict[str, list[Fact]]] = {}
    for fact in assignments:
        if isinstance(fact.event, MapAssign):
            looks.setdefault(fact.event.decider, {}).setdefault(fact.event.look, []).append(fact)
    return looks


def _verify_decider(
    name: NodeName,
    looks: Mapping[str, Sequence[Fact]],
    log: Log,
    configurations: Mapping[str, Settings],
    report: Report,
) -> Iterator[Difference]:
    make = DECIDERS.get(name.rpartition("-")[0])
    decider: Decider | None = None
    reader = _Reader(log)
    for look_id, facts in looks.items():
        first = facts[0].event
        assert isinstance(first, MapAssign)
        settings = configurations.get(first.config)
        if make is None or settings is None:
            report.skip(f"decider {name} is not ours" if make is None else f"configuration {first.config} unknown", len(facts))
            continue
        if not log.reaches(first.basis):
            report.skip(BELOW_HORIZON, len(facts))
            continue
        decider = decider or make(settings)
        reader.advance(decider, first)
        look = Look(look_id, first.at_ms, first.cause.tick_ms is not None, first.basis, name, first.config)
        again = {decision.map: decision for decision in decider.decide(look)}
        report.looks += 1
        for fact in facts:
            assert isinstance(fact.event, MapAssign)
            report.decisions += 1
            if (found := _difference(fact.seq, fact.event, again.get(fact.event.map))) is not None:
                yield found


class _Reader:
    """Feeds one decider up to a basis; it only ever goes forward, as the decider did."""

    def __init__(self, log: Log) -> None:
        self._streams = {Stream.HOSTS: log.hosts, Stream.MAPS: log.maps, Stream.ASSIGNMENTS: log.assignments}
        self._next = dict.fromkeys(self._streams, 0)

    def advance(self, decider: Decider, decision: MapAssign) -> None:
        basis = decision.basis
        for stream, last in ((Stream.HOSTS, basis.hosts), (Stream.MAPS, basis.maps), (Stream.ASSIGNMENTS, basis.assignments)):
            facts, at = self._streams[stream], self._next[stream]
            while at < len(facts) and facts[at].seq <= last:
                decider.on_fact(facts[at])
                at += 1
            self._next[stream] = at


def _difference(seq: int, committed: MapAssign, again: MapAssign | None) -> Difference | None:
    if committed == again:
        return None
    if again is None:
        return Difference(committed.map, seq, committed.decider, committed.look, "decision", committed.reason, None)
    for name in MapAssign.__struct_fields__:
        old, new = getattr(committed, name), getattr(again, name)
        if old != new:
            plain = msgspec.to_builtins(old), msgspec.to_builtins(new)
            return Difference(committed.map, seq, committed.decider, committed.look, name, *plain)
    return None
