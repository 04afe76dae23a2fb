"""When a map-server is started, given up, drained and ended. Pure.

In: orders, what became of processes and links, the time. Out: effects, and what is said of each map. Called by servers.py.

    starting <-> ready -> draining -> ending -> gone          no longer ordered: its players are moved away first
        |          |
        +-> falling -> broken -> starting                    failed: after a while again, each time a longer one
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from libs.events import MapName, MapReport, OrderedMap

START_MS_MAX: Final = 60_000
"""From its start to its link; the registry waits as long (failover.start_timeout)."""
RELINK_MS: Final = 15_000
"""Without a link it is called ready for so long: a bridge that was started again is back by then, and it with it."""
FROZEN_MS: Final = 25_000
"""A map-server says its users every 10 s (2afe); after two that did not come it stands still."""
DRAIN_MS_MAX: Final = 60_000
"""How long players of a map no longer ordered are waited for; each is moved within migration_timeout, 1 s."""
SETTLE_MS: Final = 1_000
"""And this long at least: somebody may just be coming in or be on his way out, which takes migration_timeout."""
TERM_MS_MAX: Final = 10_000
"""From SIGTERM, at which it saves its players and leaves, to SIGKILL."""
BACKOFF_MS: Final = (500, 60_000)
STEADY_MS: Final = 300_000
"""A server that was ready this long before it fell begins anew with the shortest wait."""
FALLS_KEPT: Final = 256
"""Maps whose falls are remembered over the end of their order, the latest."""


class Phase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDING = "ending"
    FALLING = "falling"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Start:
    map: MapName


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask it to end: its players are saved."""

    map: MapName


@dataclass(frozen=True, slots=True)
class Kill:
    map: MapName


Effect = Start | Terminate | Kill


@dataclass(slots=True)
class Life:
    """One ordered map's server. order: None where it is ordered no more. since_ms: in this phase. due_ms: when this phase is
    over, None for none. heard_ms: when it last said something on its link; None: nobody tells."""

    order: OrderedMap | None
    tenure: int
    phase: Phase
    since_ms: int
    due_ms: int | None
    linked: bool = False
    players: int = 0
    heard_ms: int | None = None

    def enter(self, phase: Phase, now_ms: int, for_ms: int | None = None) -> None:
        self.phase, self.since_ms = phase, now_ms
        self.due_ms = None if for_ms is None else now_ms + for_ms


@dataclass(slots=True)
class Falls:
    """count: without a steady time between. last: why, in words."""

    count: int = 0
    last: str = ""
    until_ms: int = 0


@dataclass
class Supervision:
    lives: dict[MapName, Life] = field(default_factory=dict)
    falls: dict[MapName, Falls] = field(default_factory=dict)

    def obey(self, wanted: Mapping[MapName, OrderedMap], now_ms: int) -> list[Effect]:
        return [*self._drop(self.lives.keys() - wanted.keys(), now_ms), *self._take(wanted, now_ms)]

    def end(self, now_ms: int) -> list[Effect]:
        """All of them, now, whoever plays."""
        effects = self.obey({}, now_ms)
        for name, life in self.lives.items():
            if life.phase is Phase.DRAINING:
                effects += self._terminate(name, life, now_ms)
        return effects

    def on_linked(self, name: MapName, now_ms: int) -> None:
        """The other end of its link took it in (2afb)."""
        life = self.lives[name]
        life.linked = True
        if life.phase is Phase.STARTING:
            life.enter(Phase.READY, now_ms)
        elif life.phase is Phase.READY:
            life.due_ms = None

    def on_gone(self, name: MapName, now_ms: int) -> None:
        """Its link ended. It dials again by itself, and is never killed for that: without a bridge its players play on."""
        life = self.lives[name]
        life.linked, life.heard_ms = False, None
        if life.phase is Phase.READY:
            life.due_ms = now_ms + RELINK_MS

    def on_heard(self, name: MapName, now_ms: int) -> None:
        """It said something on its link."""
        self.lives[name].heard_ms = now_ms

    def on_players(self, name: MapName, players: int) -> None:
        self.lives[name].players = players

    def on_exit(self, name: MapName, why: str, now_ms: int) -> list[Effect]:
        """Its process is no more, or never was."""
        life = self.lives[name]
        if life.phase is Phase.ENDING:
            del self.lives[name]
            return [] if life.order is None else self._begin(name, life.order, now_ms)
        steady = life.phase is Phase.READY and now_ms - life.since_ms >= STEADY_MS
        wait_ms = self._fell(name, why, now_ms, steady=steady)
        if life.order is None:
            del self.lives[name]
        else:
            life.linked, life.players, life.heard_ms = False, 0, None
            life.enter(Phase.BROKEN, now_ms, wait_ms)
        return []

    def advance(self, now_ms: int) -> list[Effect]:
        """What the time asks for."""
        return [effect for name in [*self.lives] for effect in self._advance(name, self.lives[name], now_ms)]

    def due_ms(self) -> int | None:
        """When `advance` has something to do again; None: when something happens."""
        return min((at for life in self.lives.values() for at in _dues(life)), default=None)

    def reports(self) -> dict[MapName, MapReport]:
        return {name: _report(life) for name, life in sorted(self.lives.items())}

    def _take(self, wanted: Mapping[MapName, OrderedMap], now_ms: int) -> Iterator[Effect]:
        for name, order in wanted.items():
            life = self.lives.get(name)
            if life is None:
                yield from self._begin(name, order, now_ms)
                continue
            life.order, life.tenure = order, order.tenure
            if life.phase is Phase.DRAINING and life.linked:
                life.enter(Phase.READY, now_ms)
            elif life.phase is Phase.DRAINING:
                life.enter(Phase.STARTING, now_ms)

    def _begin(self, name: MapName, order: OrderedMap, now_ms: int) -> list[Effect]:
        life = self.lives[name] = Life(order, order.tenure, Phase.STARTING, now_ms, now_ms + START_MS_MAX)
        falls = self.falls.get(name)
        if falls is not None and falls.until_ms > now_ms:
            life.enter(Phase.BROKEN, now_ms, falls.until_ms - now_ms)
            return []
        return [Start(name)]

    def _drop(self, names: Iterable[MapName], now_ms: int) -> Iterator[Effect]:
        for name in sorted(names):
            life = self.lives[name]
            life.order = None
            match life.phase:
                case Phase.STARTING if not life.players:
                    yield from self._terminate(name, life, now_ms)
                case Phase.STARTING | Phase.READY:
                    life.enter(Phase.DRAINING, now_ms, DRAIN_MS_MAX)
                case Phase.BROKEN:
                    del self.lives[name]

    def _advance(self, name: MapName, life: Life, now_ms: int) -> list[Effect]:
        is_due = life.due_ms is not None and now_ms >= life.due_ms
        frozen = life.phase in _LINKED and life.heard_ms is not None and now_ms - life.heard_ms >= FROZEN_MS
        settled = not life.players and now_ms - life.since_ms >= SETTLE_MS
        if life.phase is Phase.DRAINING and (is_due or settled):
            return self._terminate(name, life, now_ms)
        if frozen or (is_due and life.phase is Phase.STARTING):
            life.enter(Phase.FALLING, now_ms)
            return [Kill(name)]
        if is_due and life.phase is Phase.READY:
            life.enter(Phase.STARTING, now_ms)
        if is_due and life.phase is Phase.ENDING:
            life.due_ms = None
            return [Kill(name)]
        if is_due and life.phase is Phase.BROKEN:
            life.enter(Phase.STARTING, now_ms, START_MS_MAX)
            return [Start(name)]
        return []

    def _terminate(self, name: MapName, life: Life, now_ms: int) -> list[Effect]:
        life.enter(Phase.ENDING, now_ms, TERM_MS_MAX)
        return [Terminate(name)]

    def _fell(self, name: MapName, why: str, now_ms: int, *, steady: bool) -> int:
        """How long to wait, ms. The latest falls are last in the dictionary."""
        falls = self.falls.pop(name, Falls())
        if steady or now_ms - falls.until_ms >= STEADY_MS:
            falls.count = 0
        falls.count += 1
        falls.last = why
        wait_ms = min(BACKOFF_MS[1], BACKOFF_MS[0] << min(falls.count - 1, 16))
        falls.until_ms = now_ms + wait_ms
        self.falls[name] = falls
        while len(self.falls) > FALLS_KEPT:
            del self.falls[next(iter(self.falls))]
        return wait_ms


_LINKED: Final = frozenset({Phase.READY, Phase.DRAINING})
_SAID: Final[dict[Phase, Literal["starting", "ready", "failed", "draining"]]] = {
    Phase.STARTING: "starting",
    Phase.READY: "ready",
    Phase.DRAINING: "draining",
    Phase.FALLING: "failed",
    Phase.BROKEN: "failed",
}


def _report(life: Life) -> MapReport:
    """One that ends and is ordered again is about to start."""
    ending: Literal["starting", "draining"] = "draining" if life.order is None else "starting"
    return MapReport(tenure=life.tenure, state=_SAID.get(life.phase, ending), players=life.players)


def _dues(life: Life) -> Iterator[int]:
    if life.due_ms is not None:
        yield life.due_ms
    if life.phase in _LINKED and life.heard_ms is not None:
        yield life.heard_ms + FROZEN_MS
    if life.phase is Phase.DRAINING and not life.players:
        yield life.since_ms + SETTLE_MS
