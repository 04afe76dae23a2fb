"""The same inputs give the same decisions: every look, decided again from the log, must be what was committed (DESIGN D4).

In: the facts of a run. Out: what differs, as sentences. Each look is decided again by `services.ops.replay`, which folds the
log forward from look to look as `kafra replay verify` does; and a few looks by a decider that knows nothing but the last
message of each subject at that basis, as a process that had just started would (D11).
"""

from collections.abc import Iterable, Iterator

from libs.config import Settings
from libs.events import Basis, Fact, MapAssign, NodeName, Stream, subject_of
from libs.hosting.looks import Decider, Look
from services.failover.core import Failover
from services.ops.replay import Log, verify
from services.scorer.core import Scorer

STREAMS = (Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS)
FRESH_MAX = 8
"""So many looks of a run are also decided by a fresh decider, spread over it."""


class Facts:
    """The log by stream; sequences have no holes here, so the fact of sequence n is at n - 1."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.of: dict[Stream, list[Fact]] = {stream: [] for stream in STREAMS}
        for fact in facts:
            if fact.stream in self.of:
                self.of[fact.stream].append(fact)

    def between(self, after: Basis, upto: Basis) -> Iterator[Fact]:
        yield from self.of[Stream.HOSTS][after.hosts : upto.hosts]
        yield from self.of[Stream.MAPS][after.maps : upto.maps]
        yield from self.of[Stream.ASSIGNMENTS][after.assignments : upto.assignments]

    def last_words(self, upto: Basis) -> Iterator[Fact]:
        """The last message of each subject at a basis."""
        for stream, seq in zip(STREAMS, (upto.hosts, upto.maps, upto.assignments), strict=True):
            last = {subject_of(fact.event): fact for fact in self.of[stream][:seq] if fact.event is not None}
            yield from sorted(last.values(), key=lambda fact: fact.seq)


def decider_for(name: NodeName, settings: Settings) -> Decider:
    return Scorer(settings) if name.startswith("scorer-") else Failover(settings)


def differences(facts: Facts, settings: Settings) -> Iterator[str]:
    """What was committed otherwise than the same look decides now; nothing: all the same."""
    report = verify(Log(facts.of[Stream.HOSTS], facts.of[Stream.MAPS], facts.of[Stream.ASSIGNMENTS]))
    yield from map(str, report.differences)
    yield from (f"{count} decisions cannot be decided again: {why}" for why, count in report.skipped.items())
    assigns = [fact.event for fact in facts.of[Stream.ASSIGNMENTS] if isinstance(fact.event, MapAssign)]
    for assign in assigns[:: max(1, len(assigns) // FRESH_MAX)]:
        yield from _decided_fresh(assign, facts, settings)


def _decided_fresh(assign: MapAssign, facts: Facts, settings: Settings) -> Iterator[str]:
    decider = decider_for(assign.decider, settings)
    for fact in facts.last_words(assign.basis):
        decider.on_fact(fact)
    tick = assign.cause.tick_ms is not None
    look = Look(assign.look, assign.at_ms, tick, assign.basis, assign.decider, assign.config)
    again = {decision.map: decision for decision in decider.decide(look)}.get(assign.map)
    if again != assign:
        yield f"look {look.id}: {assign}; but from the last message of each subject: {again}"
