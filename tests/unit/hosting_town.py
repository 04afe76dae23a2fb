"""A log with a scorer and a failover that follow it, as a test drives them: say, look, apply what was decided."""

from collections.abc import Iterable, Sequence

from libs.config import Settings
from libs.events import Event, Fact, HostId, MapAssign, MapName, NodeName, decode, encode, subject_of
from libs.hosting.looks import TICK_MS, Decider, Look
from libs.hosting.score import name_hash
from libs.hosting.world import MapState, World
from services.failover.core import Failover
from services.scorer.core import Scorer
from services.scorer.index import SLICES
from tests.unit.builders import T0, Log, rules

ROUND_MS = SLICES * TICK_MS
"""In so long every map's turn has come once."""
LOOKS_MAX = 30
"""After so many looks at one time there must be quiet."""


def look_of(decider: Decider, *, tick: bool = False, at_ms: int = T0) -> Look:
    name = type(decider).__name__.lower() + "-1"
    return Look(f"{name}.0", at_ms, tick, decider.world.basis, NodeName(name), "c" * 16)


class Town:
    """words: said at the start. Both deciders follow the log; `world` is the scorer's."""

    def __init__(self, *words: Event, settings: Settings | None = None) -> None:
        self.settings = settings or rules()
        self.scorer, self.failover = Scorer(self.settings), Failover(self.settings)
        self.log = Log(self.scorer.on_fact, self.failover.on_fact)
        self.say(*words)

    @property
    def world(self) -> World:
        return self.scorer.world

    def say(self, *words: Event) -> None:
        for word in words:
            self.log.say(word)

    def state(self, name: str = "m1") -> MapState:
        return self.world.map(MapName(name))

    def assigned(self, name: str = "m1") -> MapAssign:
        assign = self.state(name).assign
        assert assign is not None, f"{name} has no assignment"
        return assign

    def used(self, host: str) -> int:
        return self.world.used_slots(HostId(host), self.settings.failover.warm_backups)

    def scored(self, at_ms: int = T0, *, tick: bool = False) -> list[MapAssign]:
        """What the scorer decides now; nothing is applied."""
        return readable(self.scorer.decide(look_of(self.scorer, tick=tick, at_ms=at_ms)))

    def failed(self, at_ms: int = T0, *, tick: bool = False) -> list[MapAssign]:
        """What failover decides now; nothing is applied."""
        return readable(self.failover.decide(look_of(self.failover, tick=tick, at_ms=at_ms)))

    def turn(self, name: str, after_s: float) -> list[MapAssign]:
        """What the scorer decides at the first tick after after_s at which it is this map's turn."""
        at_ms = turn_of(name, T0 + int(after_s * 1000))
        return self.scored(at_ms, tick=True)

    def settle(self, at_ms: int = T0) -> list[MapAssign]:
        """Both decide and write, again and again, until there is nothing to decide at this time. Nobody's map is decided by
        both at one basis."""
        written: list[MapAssign] = []
        for _ in range(LOOKS_MAX):
            by_scorer = [*self.scored(at_ms, tick=True)] or self.scored(at_ms)
            by_failover = self.failed(at_ms) or self.failed(at_ms, tick=True)
            assert_disjoint(by_scorer, by_failover)
            if not by_scorer and not by_failover:
                return written
            self.say(*by_failover, *by_scorer)
            written += by_failover + by_scorer
        raise AssertionError(f"no quiet after {LOOKS_MAX} looks; last: {written[-3:]}")


def readable(decisions: Iterable[MapAssign]) -> list[MapAssign]:
    """The decisions, each of which its readers must be able to read (libs/bus/own.py relies on it)."""
    made = list(decisions)
    for decision in made:
        assert decode(subject_of(decision), encode(decision)) == decision
    return made


def assert_disjoint(*decided: Sequence[MapAssign]) -> None:
    names = [decision.map for decisions in decided for decision in decisions]
    assert len(names) == len(set(names)), f"a map was decided twice: {sorted(names)}"


def turn_of(name: str, from_ms: int) -> int:
    """The first tick's time from from_ms on at which it is the map's turn."""
    tick = -(-from_ms // TICK_MS)
    return (tick + (name_hash(name) - tick) % SLICES) * TICK_MS


def rebuilt(decider: Decider, facts: Iterable[Fact], settings: Settings) -> Decider:
    """Another of its kind, from these facts."""
    again: Decider = type(decider)(settings)  # type: ignore[call-arg]
    for fact in facts:
        again.on_fact(fact)
    return again
