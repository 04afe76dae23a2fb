"""What a core asks its shell to do, and what comes of a write. Cores decide, shells perform (STYLE)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from libs.events import Event, Fact, Reply


@dataclass(frozen=True, slots=True)
class Append:
    """A write to the log, compare-and-set unless `expected` is None.

    expected: last sequence the writer read of the event's subject, or of `scope` where given; 0: nothing yet; None: whatever
        was there (players' movements, which nobody contests).
    scope: subject filter the sequence is compared on (`host.*.<host>`), for facts of several subjects.
    trace: traceparent to pass on.
    """

    event: Event
    expected: int | None
    scope: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """A message without a promise: core NATS, at most once."""

    event: Event


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; the answer, or None for none within timeout_ms, comes back to the core."""

    request: Event
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A round trip to the bus itself. What was on its way to us when it was asked for is heard before the answer: who was
    silent until then was silent indeed, and the fault is not ours."""

    timeout_ms: int


Effect = Append | Say | Ask | Probe


@dataclass(frozen=True, slots=True)
class Committed:
    """The write stands at this sequence."""

    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody else wrote first; `last` is the sequence now. Read again, decide again."""

    last: int


@dataclass(frozen=True, slots=True)
class InDoubt:
    """No answer within all retries. Whether it stands, the follower will tell."""

    reason: str


Outcome = Committed | Refused | InDoubt


class Core(Protocol):
    """A service without its I/O. Inputs change its state and return nothing; `step` says what to do next.

    The shell calls `step` after every batch of inputs and at every tick. `now_ms` never runs backwards: Unix ms by a
    monotonic clock. A core is driven alike by libs/runtime (real) and tests/sim (virtual clock).
    """

    def on_fact(self, fact: Fact, now_ms: int) -> None:
        """A message of a followed stream, in order of its stream."""

    def on_caught_up(self, now_ms: int) -> None:
        """All that was in the streams at the start has been folded."""

    def on_heard(self, event: Event, now_ms: int) -> None:
        """A core NATS message the service listens to."""

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:
        """What became of an `Append`."""

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        """What became of an `Ask`."""

    def on_lease(self, number: int, now_ms: int) -> None:
        """The lease of a service that has one: its number while this replica holds it, 0 when it does not."""

    def on_gap(self, now_ms: int) -> None:
        """Core messages may have been missed: this process was paused or cut off."""

    def step(self, now_ms: int) -> Iterable[Effect]:
        """What to do now; to be performed one after the other, to the end, before the next input."""


class Probing(Protocol):
    """A core that makes `Probe`s, too."""

    def on_probed(self, probe: Probe, answered: bool, now_ms: int) -> None:
        """What became of it."""


class Answering(Protocol):
    """A core that is asked, too."""

    def on_asked(self, request: Event, now_ms: int) -> Reply:
        """At once, from what it knows."""
