"""Players who enter, as a bridge says it: writes to the log through libs.bus, each with its outcome kept."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

from libs.bus.nats import NatsBus
from libs.events import Fact, MapCensus, MapEnter, MapName, Region
from libs.hosting.effects import Append, Committed, InDoubt, Outcome, Refused
from libs.runtime.clock import Clock

IN_FLIGHT_MAX = 32
PAUSE_S = 0.004
REGIONS = (Region("eu"), Region("na"))
Said = MapEnter | MapCensus


class Players:
    """acknowledged: MAPS sequence -> what was said. Each saying is unlike every other: an enter by its character, a census by
    its time."""

    def __init__(self, bus: NatsBus, maps: Sequence[str], seed: int) -> None:
        self._bus, self._rng, self._clock = bus, random.Random(seed), Clock()
        self._maps = [MapName(name) for name in maps]
        self._there: dict[MapName, Counter[Region]] = {}
        self._characters, self._last_ms, self._open = 0, 0, 0
        self.acknowledged: dict[int, Said] = {}
        self.in_doubt: list[Said] = []
        self.refused: list[Said] = []
        self._settled = asyncio.Event()

    async def play(self, playing: asyncio.Event) -> None:
        """Enter map after map while `playing` is set, then wait until every write has settled."""
        while playing.is_set():
            if self._open < IN_FLIGHT_MAX:
                self.enter(self._rng.choice(self._maps))
            await asyncio.sleep(PAUSE_S)
        await self.settled()

    def enter(self, name: str) -> None:
        """One player enters; every eighth time the map's census follows."""
        enter = self.made(name)
        there = self._there.setdefault(enter.map, Counter())
        there[enter.region] += 1
        self._submit(enter)
        if self._characters % 8 == 0:
            self._submit(MapCensus(map=enter.map, at_ms=self._now_ms(), players=dict(there)))

    def made(self, name: str) -> MapEnter:
        """The next player's entering, not said."""
        self._characters += 1
        return MapEnter(
            map=MapName(name),
            account_id=self._characters,
            char_id=self._characters,
            at_ms=self._now_ms(),
            region=self._rng.choice(REGIONS),
            from_map=None,
            x=100,
            y=100,
        )

    async def settled(self) -> None:
        while self._open:
            self._settled.clear()
            await self._settled.wait()

    @property
    def entered(self) -> set[MapName]:
        return {event.map for event in self.acknowledged.values() if isinstance(event, MapEnter)}

    def assert_exactly_once(self, maps: Sequence[Fact]) -> None:
        """maps: the stream MAPS, whole."""
        stored = {fact.seq: fact.event for fact in maps}
        lost = [seq for seq, said in self.acknowledged.items() if stored.get(seq) != said]
        times = Counter(_identity(fact.event) for fact in maps if isinstance(fact.event, MapEnter | MapCensus))
        doubled = [identity for identity, count in times.items() if count > 1]

        assert not lost, f"{len(lost)} of {len(self.acknowledged)} acknowledged are not where the server said: {lost[:5]}"
        assert not doubled, f"{len(doubled)} were stored more than once: {doubled[:5]}"
        assert not self.refused, "a write without an expected sequence cannot be refused"

    def _submit(self, event: Said) -> None:
        self._open += 1
        self._bus.submit(Append(event, None), self._on_settled)

    def _on_settled(self, write: Append, outcome: Outcome) -> None:
        self._open -= 1
        self._settled.set()
        event = write.event
        assert isinstance(event, MapEnter | MapCensus)
        match outcome:
            case Committed(seq):
                self.acknowledged[seq] = event
            case InDoubt():
                self.in_doubt.append(event)
            case Refused():
                self.refused.append(event)

    def _now_ms(self) -> int:
        self._last_ms = max(self._last_ms + 1, self._clock.now_ms())
        return self._last_ms


def _identity(event: Said) -> tuple[str, str, int]:
    return (event.declaration.name, event.map, event.char_id if isinstance(event, MapEnter) else event.at_ms)
