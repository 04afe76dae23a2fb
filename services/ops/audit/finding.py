"""What a check is given and what it gives."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from libs.config import Settings
from libs.events import MapName


@dataclass(frozen=True, slots=True)
class Finding:
    """invariant: its name (services/ops/audit). subject, seq: of the message at fault, or of the last word that stands wrong at
    the end. text: a sentence for an operator."""

    invariant: str
    subject: str
    seq: int
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.subject} #{self.seq}: {self.text}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the checks need of the settings. eligible: names and globs of all categories together. trust_min: 0..1.
    vps_fallback: general.enable_vps_fallback; without it a map may wait for a host with the dead one still named."""

    enable_p2p: bool
    eligible: tuple[str, ...]
    never: tuple[str, ...]
    checks_on: bool
    trust_min: float
    warm_backups: int
    vps_fallback: bool = True

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        return cls(
            enable_p2p=settings.general.enable_p2p_maps,
            eligible=tuple(settings.maps.eligible_patterns),
            never=tuple(settings.maps.never),
            checks_on=settings.general.enable_p2p_security_checks,
            trust_min=settings.security.trust_min,
            warm_backups=settings.failover.warm_backups,
            vps_fallback=settings.general.enable_vps_fallback,
        )

    def allows_p2p(self, map_: MapName) -> bool:
        """`never` wins; a map in no list belongs to the VPS."""
        return self.enable_p2p and _in(map_, self.eligible) and not _in(map_, self.never)


def _in(map_: MapName, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(map_, glob) for glob in globs)
