"""What the registry hears of one host, and when it is dead (DESIGN D7). Pure."""

from dataclasses import dataclass, field
from typing import Literal

from libs.config import Settings
from libs.events import HostMetrics, HostOrder, MapName

Death = Literal["silent", "lost"]


@dataclass(slots=True)
class Presence:
    """One host as heard. Times: the registry's clock, ms.

    interval_ms: the longest pause between heartbeats it may rightly make. lost_ms: since when the bridge's link to it is lost
    and nothing was heard. ordered_since_ms: (map, tenure) -> since when it is ordered. notes: for its player.
    """

    metrics: HostMetrics
    heard_ms: int
    interval_ms: int
    lost_ms: int | None = None
    order: HostOrder | None = None
    order_ms: int = 0
    ordered_since_ms: dict[tuple[MapName, int], int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def hear(self, metrics: HostMetrics, now_ms: int) -> None:
        self.metrics, self.heard_ms, self.lost_ms = metrics, now_ms, None
        if self.order is not None:
            # A faster beat is expected only of a host that shows it has read the order for it.
            obeyed = self.obeys(self.order)
            self.interval_ms = self.order.interval_ms if obeyed else max(self.interval_ms, self.order.interval_ms)

    def obeys(self, order: HostOrder) -> bool:
        """What it reports to run is what it was ordered to run."""
        reported = {name: report.tenure for name, report in self.metrics.maps.items()}
        return reported == {name: ordered.tenure for name, ordered in order.maps.items()}

    def death(self, now_ms: int, listening_since_ms: int, settings: Settings) -> Death | None:
        """Long silence alone; or the bridge's link lost and a short silence since (DESIGN D7)."""
        heard_ms = max(self.heard_ms, listening_since_ms)
        if now_ms - heard_ms >= self._silence_ms(settings):
            return "silent"
        if self.lost_ms is not None and now_ms - max(self.lost_ms, heard_ms) >= settings.failover.suspicion_ms:
            return "lost"
        return None

    def is_fresh(self, now_ms: int, settings: Settings) -> bool:
        """It was heard lately, and no link of it is lost since: alive beyond doubt."""
        return self.lost_ms is None and now_ms - self.heard_ms < self._silence_ms(settings)

    def deadline_ms(self, listening_since_ms: int, settings: Settings) -> int:
        """The earliest time at which `death` may say so, if nothing more is heard."""
        heard_ms = max(self.heard_ms, listening_since_ms)
        deadline_ms = heard_ms + self._silence_ms(settings)
        if self.lost_ms is not None:
            deadline_ms = min(deadline_ms, max(self.lost_ms, heard_ms) + settings.failover.suspicion_ms)
        return deadline_ms

    def _silence_ms(self, settings: Settings) -> int:
        return settings.failover.silence_ms + max(0, self.interval_ms - settings.monitoring.heartbeat_busy_ms)


def longest_silence_ms(settings: Settings) -> int:
    """The silence that means death of a host that beats as slowly as any."""
    return settings.failover.silence_ms + settings.monitoring.heartbeat_idle_ms - settings.monitoring.heartbeat_busy_ms


@dataclass(slots=True)
class MassDeathBrake:
    """If a large share of the hosts seems to die at once, suspect ourselves: hold for a while (DESIGN D7).

    Hold once: what is still silent when the hold ends is dead indeed.
    """

    recent_ms: list[int] = field(default_factory=list)
    held_until_ms: int = 0
    believed_until_ms: int = 0

    def holds(self, dying: int, alive: int, now_ms: int, settings: Settings) -> bool:
        """Whether to hold back `dying` more deaths. alive: hosts up before them."""
        rules = settings.failover
        if now_ms < self.held_until_ms:
            return True
        self.recent_ms = [at_ms for at_ms in self.recent_ms if at_ms > now_ms - rules.mass_death_window_ms]
        together = dying + len(self.recent_ms)
        mass = together >= MASS_MIN and together > rules.mass_death_share * (alive + len(self.recent_ms))
        if mass and now_ms >= self.believed_until_ms:
            self.held_until_ms = now_ms + rules.mass_death_hold_ms
            self.believed_until_ms = self.held_until_ms + rules.mass_death_window_ms
            return True
        self.recent_ms += [now_ms] * min(dying, RECENT_MAX - len(self.recent_ms))
        return False


MASS_MIN = 4
"""Fewer deaths than this are never a mass, however small the fleet."""
RECENT_MAX = 100_000
