"""What a check of an rAthena tree finds."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["must", "should", "ok"]
ORDER: tuple[Severity, ...] = ("must", "should", "ok")
"""must: it does not work, or players lose something. should: it works less well, or less safely."""
KAFRA_CONF = "p2p_map_config.conf"
NAMES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """server: whose it is. key: the setting. found, wanted: for people, never a secret; wanted and why are empty where all is
    well. file: where to set it. by_write: `--write` puts it right."""

    severity: Severity
    server: str
    key: str
    found: str
    wanted: str = ""
    file: str = ""
    why: str = ""
    by_write: bool = False


def judged(well: bool, severity: Severity, server: str, key: str, *, found: str, wanted: str, file: str, why: str) -> Finding:
    """severity: of the finding where it is not well."""
    return Finding("ok", server, key, found) if well else Finding(severity, server, key, found, wanted, file, why)


def some(names: list[str]) -> str:
    """The first of them, and how many there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} ... ({len(names)})"
