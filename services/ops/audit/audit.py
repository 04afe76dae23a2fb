"""The checker itself: collects the log, then asks every check."""

from collections.abc import Iterable, Iterator, Mapping

from libs.events import Fact, MapAssign, MapName, Stream
from services.ops.audit import assignments, facts
from services.ops.audit.finding import Finding, Rules
from services.ops.audit.history import Decision, History
from services.ops.audit.slots import overfull, slots


class Audit:
    """rules: of the settings in force; by_config: config hash -> rules, for a log written under several. starts: stream -> the
    sequence from which on every message is given (absent: 1)."""

    def __init__(
        self, rules: Rules, *, by_config: Mapping[str, Rules] | None = None, starts: Mapping[Stream, int] | None = None
    ) -> None:
        self._rules = rules
        self._by_config = dict(by_config or {})
        self._history = History(starts or {})

    def feed(self, fact: Fact) -> None:
        """Facts of other streams than HOSTS, MAPS and ASSIGNMENTS are ignored.

        Raises:
            ValueError: not in its stream's order.
        """
        if fact.stream in {Stream.HOSTS, Stream.MAPS, Stream.ASSIGNMENTS}:
            self._history.add(fact)

    def feed_all(self, facts_: Iterable[Fact]) -> None:
        for fact in facts_:
            self.feed(fact)

    @property
    def decisions(self) -> int:
        """How many assignments were given."""
        return len(self._history.decisions)

    @property
    def unjudged(self) -> int:
        """How many of them could not be judged for the hosts they chose, because their basis was not given."""
        return sum(not self._saw_hosts(decision) for decision in self._history.decisions)

    def findings(self, quiet_since_ms: int | None = None) -> list[Finding]:
        """Everything wrong so far, each invariant's findings in order of sequence.

        quiet_since_ms: Unix ms; what was said later than this may still be waiting for a decision at the end of the log. None:
        nothing may.
        """
        return [*self._of_decisions(), *self._of_hosts(), *self._of_the_end(quiet_since_ms)]

    def _of_decisions(self) -> Iterator[Finding]:
        history = self._history
        in_force: dict[MapName, int] = {}
        for decision in history.decisions:
            rules = self._rules_of(decision.assign)
            yield from assignments.tenure(decision, in_force.get(decision.assign.map, 0), history)
            in_force[decision.assign.map] = decision.tenure
            yield from assignments.backups(decision)
            yield from assignments.eligible(decision, rules)
            yield from assignments.cause(decision, history)
            yield from assignments.reason(decision, history)
            if self._saw_hosts(decision):
                yield from assignments.hosts(decision, rules, history)
        yield from assignments.looks(history.decisions)
        judged = [decision for decision in history.decisions if self._saw_hosts(decision) and self._saw_assignments(decision)]
        yield from slots(judged, history, self._rules_of)

    def _of_hosts(self) -> Iterator[Finding]:
        whole = self._history.whole(Stream.HOSTS)
        for said in self._history.hosts.values():
            yield from facts.registry(said, whole)
            yield from facts.verdicts(said, whole)

    def _of_the_end(self, quiet_since_ms: int | None) -> Iterator[Finding]:
        for timeline in self._history.assignments.values():
            seq, assign = timeline.last()
            if assign is not None and self._rules_of(assign).vps_fallback:
                yield from facts.orphans(self._history, seq, assign, quiet_since_ms)
                yield from facts.invalid(self._history, seq, assign, quiet_since_ms)
        yield from facts.unassigned(self._history, quiet_since_ms)
        yield from overfull(self._history, self._rules_of, quiet_since_ms)

    def _rules_of(self, assign: MapAssign) -> Rules:
        return self._by_config.get(assign.config, self._rules)

    def _saw_hosts(self, decision: Decision) -> bool:
        return self._history.knows(Stream.HOSTS, decision.assign.basis.hosts)

    def _saw_assignments(self, decision: Decision) -> bool:
        return self._history.knows(Stream.ASSIGNMENTS, decision.assign.basis.assignments)
