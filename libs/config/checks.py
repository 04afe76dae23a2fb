"""What keys must be true together. Pure. In: settings whose types and ranges are right. Out: conflicts. Called by build."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from libs.config.groups import Eligible
from libs.config.model import Settings
from libs.config.text import Path

WEIGHTS_SUM_TOLERANCE = 1e-6
TERMS = ("cpu", "ram", "network", "latency", "stability")

NOT_ABOVE = (  # (the smaller, the larger)
    (("failover", "warm_backups"), ("failover", "backup_hosts_count")),
    (("failover", "suspicion_ms"), ("failover", "silence_ms")),
    (("monitoring", "heartbeat_busy_ms"), ("monitoring", "heartbeat_idle_ms")),
    (("security", "blacklist_s"), ("security", "blacklist_max_s")),
)
LISTS = (*(("maps", "eligible", name) for name in Eligible.model_fields), ("maps", "never"))


@dataclass(frozen=True)
class Conflict:
    """paths: the keys concerned, the one to mend first."""

    paths: tuple[Path, ...]
    message: str
    allowed: str


def conflicts(settings: Settings) -> Iterator[Conflict]:
    """Every rule that settings break."""
    for smaller, larger in NOT_ABOVE:
        low, high = _value(settings, smaller), _value(settings, larger)
        if low > high:
            message = f"{low} is above {larger[-1]}, which is {high}"
            yield Conflict((smaller, larger), message, f"{smaller[-1]} <= {larger[-1]}")
    yield from _weights(settings)
    for path in LISTS:
        yield from _duplicates(path, _value(settings, path))


def _weights(settings: Settings) -> Iterator[Conflict]:
    weights = settings.scoring.weights
    paths = tuple(("scoring", "weights", term) for term in TERMS)
    total = sum(getattr(weights, term) for term in TERMS)
    if abs(total - 1) > WEIGHTS_SUM_TOLERANCE:
        yield Conflict((("scoring", "weights"), *paths), f"the weights sum to {total:.7g}", "a sum of 1")
    if not settings.general.prefer_low_latency and total == weights.latency:
        prefer = ("general", "prefer_low_latency")
        yield Conflict((prefer, *paths), "no weight is left when latency does not count", "another weight above 0")


def _duplicates(path: Path, names: tuple[str, ...]) -> Iterator[Conflict]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Conflict(((*path, index), path), f'"{name}" stands in the list twice', "each once")


def _value(settings: Settings, path: Path) -> Any:
    value: Any = settings
    for name in path:
        value = getattr(value, str(name))
    return value
