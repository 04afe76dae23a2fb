"""How a host's agent speaks: too often, or with two voices. Pure.

In: heartbeats as they come. Out: which of them count, and what is to be said to the host's player.

Too often: a token bucket a host. What is above it is not read; who goes on all the same is out for a while.

Two voices: every agent process names its run and numbers its own heartbeats; of one that names none, numbers that go on tell
the process, and a number that goes back is a new one. A new process counts at once, since a restarted agent must. Does the old
one speak beside it, there are two agents with one identity: who came last counts, the other is told. Was the new one heard a
single time, and is no second connection known, it was an old message that came again: who goes on counts.
"""

from dataclasses import dataclass, field
from enum import Enum

from libs.config import Settings
from libs.events import HostMetrics

BEATS_PER_S_MIN = 10.0
BURST = 40.0
"""Sixteen map-servers that start at once are some thirty changes of state, each said at once."""
PAUSE_MS = 2_000
"""Who kept to the rate for so long has stopped flooding."""
TOLERATED_MS = 5_000
"""Flooding for so long after having been told: out."""
OUT_MS = 60_000
"""Out until it has kept to the rate for so long."""
WINDOW = 64
"""A numbering may have lost this many heartbeats and is still known as the same; half a minute of a busy host."""
VOICE_KEPT_MS = 30_000
"""A voice not heard for so long has ended; six idle heartbeats."""
DOUBLED_KEPT_MS = 60_000
"""So long after the last heartbeat of the other its player is told."""


NOT_ODD = (False, False, False)


class Heard(Enum):
    """What a heartbeat is. LOUD: above the rate. OTHER: of the older of two agents. AGAIN: one that was heard before."""

    COUNTS = "counts"
    LOUD = "loud"
    OTHER = "other"
    AGAIN = "again"


@dataclass(slots=True, eq=False)
class Voice:
    """One agent process. run: as it names itself, if it does. last: its last number; opened: the order in which voices came."""

    opened: int
    run: int | None
    last: int
    at_ms: int
    heard_ms: int
    beats: int = 1


@dataclass(slots=True)
class Speech:
    """Of one host. Times: the registry's clock, ms; but Voice.at_ms, the agent's, only tells a message that comes again."""

    voices: list[Voice] = field(default_factory=list)
    current: Voice | None = None
    doubled_ms: int | None = None
    tokens: float = BURST
    filled_ms: int = 0
    loud_since_ms: int = 0
    loud_ms: int | None = None
    out_until_ms: int = 0

    def take(self, metrics: HostMetrics, connections: int, now_ms: int, rate_per_s: float) -> Heard:
        """connections: of this host that are open now, as far as known. rate_per_s: `beats_per_s`."""
        if self.goes_on(metrics, now_ms, rate_per_s):
            return Heard.COUNTS
        if not self._within_rate(now_ms, rate_per_s):
            return Heard.LOUD
        self.voices = [each for each in self.voices if each is self.current or now_ms - each.heard_ms < VOICE_KEPT_MS]
        voice = self._voice_of(metrics, connections)
        if any(_said(each, metrics) for each in self.voices):
            return Heard.AGAIN
        if voice is None:
            self._open(metrics, now_ms)
            return Heard.COUNTS
        voice.last, voice.at_ms, voice.heard_ms = metrics.seq, metrics.at_ms, now_ms
        voice.beats += 1
        if self._counts(voice, connections):
            self.current = voice
            return Heard.COUNTS
        self.doubled_ms = now_ms
        return Heard.OTHER

    def goes_on(self, metrics: HostMetrics, now_ms: int, rate_per_s: float) -> bool:
        """The next of the only voice, and nothing is odd: nearly every heartbeat there is. Taken then, as `take` would."""
        voice, seq = self.current, metrics.seq
        if voice is None or len(self.voices) != 1 or self.loud_ms is not None or self.doubled_ms is not None:
            return False
        tokens = self.tokens + (now_ms - self.filled_ms) * rate_per_s / 1000
        if tokens < 1 or voice.run != metrics.run or not voice.last < seq <= voice.last + WINDOW:
            return False
        self.tokens, self.filled_ms = min(BURST, tokens) - 1, now_ms
        voice.last, voice.at_ms, voice.heard_ms = seq, metrics.at_ms, now_ms
        voice.beats += 1
        return True

    def went(self, connections: int) -> None:
        """The newest connection ended and so many older ones are open: who is left counts."""
        others = [each for each in self.voices if each is not self.current]
        if connections and others:
            self.voices, self.current = others, max(others, key=lambda each: each.opened)

    def odd(self, now_ms: int) -> tuple[bool, bool, bool]:
        """Loud, out, doubled."""
        if self.loud_ms is None and self.doubled_ms is None:  # nor out: nobody is who was never loud
            return NOT_ODD
        return self.is_loud(now_ms), self.is_out(now_ms), self.is_doubled(now_ms)

    def is_out(self, now_ms: int) -> bool:
        return now_ms < self.out_until_ms

    def is_loud(self, now_ms: int) -> bool:
        return self.loud_ms is not None and now_ms - self.loud_ms < PAUSE_MS

    def is_doubled(self, now_ms: int) -> bool:
        return self.doubled_ms is not None and now_ms - self.doubled_ms < DOUBLED_KEPT_MS

    def faults(self, now_ms: int, settings: Settings) -> dict[str, str]:
        """A word for each, and what to tell its player."""
        faults: dict[str, str] = {}
        if self.is_loud(now_ms) or self.is_out(now_ms):
            faults["flooding"] = f"too many heartbeats: at most {beats_per_s(settings):g} a second are read, send no more"
        if self.is_doubled(now_ms):
            faults["doubled"] = "two agents use this host's identity: the newer connection counts, end the other"
        return faults

    def _within_rate(self, now_ms: int, rate_per_s: float) -> bool:
        elapsed_ms = max(0, now_ms - self.filled_ms)
        self.tokens = min(BURST, self.tokens + elapsed_ms * rate_per_s / 1000)
        self.filled_ms = now_ms
        if self.tokens >= 1:
            self.tokens -= 1
            return True
        if not self.is_loud(now_ms):
            self.loud_since_ms = now_ms
        self.loud_ms = now_ms
        if self.is_out(now_ms) or now_ms - self.loud_since_ms >= TOLERATED_MS:
            self.out_until_ms = now_ms + OUT_MS
        return False

    def _voice_of(self, metrics: HostMetrics, connections: int) -> Voice | None:
        """Whose run this is. Where none is named: whose numbering goes on with this; a jump ahead is the current one's, unless
        somebody else may have made it: a new agent whose first heartbeats were lost may go on where the one before it ended."""
        voices = [each for each in self.voices if each.run == metrics.run]
        if metrics.run is not None:
            return voices[0] if voices else None
        near = [each for each in voices if each.last < metrics.seq <= each.last + WINDOW]
        if self.current in near and connections == 1:
            return self.current
        if near:
            return max(near, key=lambda each: (each.last, each is self.current))
        if self.current in voices and metrics.seq > self.current.last and connections < 2:
            return self.current
        return None

    def _open(self, metrics: HostMetrics, now_ms: int) -> None:
        opened = max((each.opened for each in self.voices), default=0) + 1
        self.current = Voice(opened, metrics.run, metrics.seq, metrics.at_ms, now_ms)
        self.voices = [*self.voices[-VOICES_MAX + 1 :], self.current]

    def _counts(self, voice: Voice, connections: int) -> bool:
        """Of several, who came last; not for a single heartbeat that may have been an old message."""
        current = self.current
        if current is None or voice is current or voice.opened > current.opened:
            return True
        return current.beats == 1 and connections < 2


def _said(voice: Voice, metrics: HostMetrics) -> bool:
    """It was heard before; where no run is named, only of the last one can that be told."""
    if voice.run != metrics.run:
        return False
    return metrics.seq <= voice.last if voice.run is not None else (voice.last, voice.at_ms) == (metrics.seq, metrics.at_ms)


VOICES_MAX = 4
"""More agents with one identity than these are not told apart."""


def beats_per_s(settings: Settings) -> float:
    """What a host may say for long: four times what it is ordered to."""
    return max(BEATS_PER_S_MIN, 4_000 / settings.monitoring.heartbeat_busy_ms)
