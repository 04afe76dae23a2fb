"""If a large share of the hosts seems to die at once, by whatever signs, suspect ourselves: hold back (DESIGN D7). Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field

from libs.config import Settings
from libs.events import HostId

MASS_MIN = 4
"""Fewer deaths than this are never a mass, however small the fleet."""


@dataclass(slots=True)
class MassDeathBrake:
    """Holds once: what is still dead when the hold ends is dead indeed. recent_ms: who was called dead lately, and when."""

    recent_ms: dict[HostId, int] = field(default_factory=dict)
    held_until_ms: int = 0
    believed_until_ms: int = 0

    def holds(self, dying: Collection[HostId], alive: int, now_ms: int, settings: Settings) -> bool:
        """Whether to hold back these deaths. alive: hosts up before them."""
        rules = settings.failover
        if now_ms < self.held_until_ms:
            return True
        since_ms = now_ms - rules.mass_death_window_ms
        dead = {host: at_ms for host, at_ms in self.recent_ms.items() if at_ms > since_ms and host not in dying}
        together = len(dying) + len(dead)
        mass = together >= MASS_MIN and together > rules.mass_death_share * (alive + len(dead))
        if mass and now_ms >= self.believed_until_ms:
            self.held_until_ms = now_ms + rules.mass_death_hold_ms
            self.believed_until_ms = self.held_until_ms + rules.mass_death_window_ms
            return True
        self.recent_ms = dead | dict.fromkeys(dying, now_ms)
        return False
