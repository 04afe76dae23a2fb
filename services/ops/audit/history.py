"""The log by subject, with the question every check asks: what was its last word at that sequence?"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from libs.events import (
    Event,
    Fact,
    HostDown,
    HostId,
    HostUp,
    HostVerdict,
    MapAssign,
    MapCensus,
    MapMoved,
    MapName,
    OpsBan,
    OpsDrain,
    Stream,
)

E = TypeVar("E", bound=Event)


class Timeline(Generic[E]):
    """Messages of one subject (or of the two of one fact) in order of sequence."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.events: list[E] = []

    def add(self, seq: int, event: E) -> None:
        self.seqs.append(seq)
        self.events.append(event)

    def at(self, seq: int) -> E | None:
        """The last word at or below `seq`."""
        count = bisect_right(self.seqs, seq)
        return self.events[count - 1] if count else None

    def last(self) -> tuple[int, E | None]:
        """Sequence and last word; (0, None): nothing was said."""
        return (self.seqs[-1], self.events[-1]) if self.seqs else (0, None)

    def written_between(self, after: int, before: int) -> Iterator[E]:
        """Messages with after < sequence < before."""
        for index in range(bisect_right(self.seqs, after), bisect_right(self.seqs, before - 1)):
            yield self.events[index]

    def __iter__(self) -> Iterator[tuple[int, E]]:
        return iter(zip(self.seqs, self.events, strict=True))


@dataclass(slots=True)
class HostHistory:
    """All that was said of one host in HOSTS."""

    life: Timeline[HostUp | HostDown] = field(default_factory=Timeline)
    verdicts: Timeline[HostVerdict] = field(default_factory=Timeline)
    drains: Timeline[OpsDrain] = field(default_factory=Timeline)
    bans: Timeline[OpsBan] = field(default_factory=Timeline)


@dataclass(frozen=True, slots=True)
class Decision:
    """A map.assign as stored, and the one of its map before it (None: none given)."""

    seq: int
    assign: MapAssign
    before: MapAssign | None
    before_seq: int

    @property
    def look(self) -> tuple[str, str]:
        return self.assign.decider, self.assign.look

    @property
    def tenure(self) -> int:
        return self.seq if self.assign.tenure is None else self.assign.tenure


class History:
    """starts: stream -> the sequence from which on every message is given; absent: 1, the whole stream."""

    def __init__(self, starts: Mapping[Stream, int]) -> None:
        self._starts = dict(starts)
        self._ends: dict[Stream, int] = {}
        self._stored: dict[Stream, dict[int, Event | None]] = {}
        self.hosts: dict[HostId, HostHistory] = {}
        self.censuses: dict[MapName, Timeline[MapCensus]] = {}
        self.moves: dict[MapName, Timeline[MapMoved]] = {}
        self.assignments: dict[MapName, Timeline[MapAssign]] = {}
        self.decisions: list[Decision] = []

    def add(self, fact: Fact) -> None:
        """Raises:
        ValueError: out of the stream's order.
        """
        if fact.seq <= self._ends.get(fact.stream, 0):
            raise ValueError(f"{fact.stream} {fact.seq} comes after {self._ends[fact.stream]}: feed each stream in its order")
        self._ends[fact.stream] = fact.seq
        self._stored.setdefault(fact.stream, {})[fact.seq] = fact.event
        match fact.event:
            case HostUp() | HostDown():
                self._host(fact.event.host).life.add(fact.seq, fact.event)
            case HostVerdict():
                self._host(fact.event.host).verdicts.add(fact.seq, fact.event)
            case OpsDrain():
                self._host(fact.event.host).drains.add(fact.seq, fact.event)
            case OpsBan():
                self._host(fact.event.host).bans.add(fact.seq, fact.event)
            case MapCensus():
                self.censuses.setdefault(fact.event.map, Timeline()).add(fact.seq, fact.event)
            case MapMoved():
                self.moves.setdefault(fact.event.map, Timeline()).add(fact.seq, fact.event)
            case MapAssign():
                self._decide(fact.seq, fact.event)

    def whole(self, stream: Stream) -> bool:
        """True if the stream is given from its beginning: what is absent was never said."""
        return self._starts.get(stream, 1) <= 1

    def knows(self, stream: Stream, seq: int) -> bool:
        """True if the state at `seq` can be told from what was given. 0, nothing yet, is known of a whole stream."""
        return self._starts.get(stream, 1) - 1 <= seq <= self._ends.get(stream, 0)

    def must_have(self, stream: Stream, seq: int) -> bool:
        """True if a message of this sequence, were there one, would have been given."""
        return self._starts.get(stream, 1) <= seq <= self._ends.get(stream, 0)

    def stored(self, stream: Stream, seq: int) -> tuple[bool, Event | None]:
        """Is there such a message, and what does it say (None: it could not be read)?"""
        messages = self._stored.get(stream, {})
        return seq in messages, messages.get(seq)

    def said_of(self, host: HostId) -> HostHistory:
        """Empty for a host nobody spoke of."""
        return self.hosts.get(host, HostHistory())

    def _host(self, host: HostId) -> HostHistory:
        return self.hosts.setdefault(host, HostHistory())

    def _decide(self, seq: int, assign: MapAssign) -> None:
        timeline = self.assignments.setdefault(assign.map, Timeline())
        before_seq, before = timeline.last()
        timeline.add(seq, assign)
        self.decisions.append(Decision(seq, assign, before, before_seq))
