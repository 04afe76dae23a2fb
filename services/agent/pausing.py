"""Whether this machine's player has it to himself just now, and why. Pure.

In: the player's word, the clock, what other programs use. Out: a `Pause`, or none. Called by seen.py at every sample. The
reasons in their order: the player's word, quiet hours, the processor, memory. Each ceiling has to be crossed for a while before
it counts, and kept for longer before it counts no more; it is kept only with room to spare (docs/adr/0024).
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.agent.quiet import Hours

CROSSED_MS: Final = 15_000
"""Beyond a ceiling for this long: a game that starts, not a mail that comes."""
KEPT_MS: Final = 60_000
"""Within it for this long: the game has ended, and was not only loading."""
CPU_ROOM: Final = 0.8
RAM_ROOM: Final = 1.25
"""What is kept is the ceiling with this room."""
GAP_MS: Final = 60_000
"""Without a look for this long – the machine slept, its clock was set – what was seen before says nothing."""
DAYS_MAX: Final = 366


class Why(StrEnum):
    PLAYER = "player"
    QUIET = "quiet hours"
    CPU = "processor"
    RAM = "memory"


@dataclass(frozen=True, slots=True)
class Rules:
    """cpu_ceiling: of the machine's whole processor, percent, that other programs may use. ram_floor_mb: that stay free."""

    quiet: tuple[Hours, ...] = ()
    cpu_ceiling: float | None = None
    ram_floor_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """The player paused. since_ms, until_ms: Unix; None: until he says otherwise."""

    since_ms: int
    until_ms: int | None = None

    def holds(self, now_ms: int) -> bool:
        return self.until_ms is None or now_ms < self.until_ms


@dataclass(frozen=True, slots=True)
class Look:
    """One sample. now_ms: Unix. local: as the clock on the wall shows it. others_cpu: percent of the machine's processor that
    others use; None: not known yet. own_ram_mb: what map-servers here hold."""

    now_ms: int
    local: datetime
    others_cpu: float | None
    free_ram_mb: float
    own_ram_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """detail: for the player; it stays the same while the reason does. until_ms: Unix, where that is known."""

    why: Why
    detail: str
    since_ms: int
    until_ms: int | None = None


@dataclass(slots=True)
class _Ceiling:
    crossed: bool = False
    turned_ms: int | None = None

    def step(self, now_ms: int, *, beyond: bool, kept: bool) -> None:
        if not (kept if self.crossed else beyond):
            self.turned_ms = None
        elif self.turned_ms is None:
            self.turned_ms = now_ms
        elif now_ms - self.turned_ms >= (KEPT_MS if self.crossed else CROSSED_MS):
            self.crossed, self.turned_ms = not self.crossed, None


@dataclass
class Pausing:
    """pause: as of the last look."""

    rules: Rules
    pause: Pause | None = None
    _cpu: _Ceiling = field(default_factory=_Ceiling)
    _ram: _Ceiling = field(default_factory=_Ceiling)
    _held_mb: float = 0.0
    _looked_ms: int | None = None

    def look(self, look: Look, word: Word | None) -> Pause | None:
        """What holds now; `pause` is the same from now on."""
        if self._looked_ms is None or not 0 <= look.now_ms - self._looked_ms <= GAP_MS:
            self._cpu.turned_ms = self._ram.turned_ms = None
        self._looked_ms = look.now_ms
        self._step(look)
        found = self._found(look, word)
        if found is not None and self.pause is not None and found.why is self.pause.why is not Why.PLAYER:
            found = Pause(found.why, found.detail, self.pause.since_ms, found.until_ms)
        self.pause = found
        return found

    def _step(self, look: Look) -> None:
        if (most := self.rules.cpu_ceiling) is not None:
            used = look.others_cpu
            beyond, kept = used is not None and used > most, used is not None and used <= most * CPU_ROOM
            self._cpu.step(look.now_ms, beyond=beyond, kept=kept)
        if (least_mb := self.rules.ram_floor_mb) is not None:
            was = self._ram.crossed
            enough_mb = max(least_mb * RAM_ROOM, least_mb + self._held_mb)
            beyond, kept = look.free_ram_mb < least_mb, look.free_ram_mb >= enough_mb
            self._ram.step(look.now_ms, beyond=beyond, kept=kept)
            if self._ram.crossed and not was:
                self._held_mb = look.own_ram_mb  # what it would take again

    def _found(self, look: Look, word: Word | None) -> Pause | None:
        if word is not None and word.holds(look.now_ms):
            return Pause(Why.PLAYER, "you paused it", word.since_ms, word.until_ms)
        if (hours := next((hours for hours in self.rules.quiet if hours.cover(look.local)), None)) is not None:
            return Pause(Why.QUIET, f"quiet hours, until {hours.until}", look.now_ms)
        if self._cpu.crossed:
            return Pause(Why.CPU, f"other programs used more than {self.rules.cpu_ceiling:g} % of the processor", look.now_ms)
        if self._ram.crossed:
            return Pause(Why.RAM, f"less than {self.rules.ram_floor_mb:g} MB of memory were free", look.now_ms)
        return None
