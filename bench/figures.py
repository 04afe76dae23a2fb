"""What is measured, as data: samples of Kafra beside samples of the bare pipeline, their ratio, the target. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Target:
    """Kafra's figure divided by the bare one is at most (latency, time) or at least (throughput) this."""

    relation: Literal["at most", "at least"]
    ratio: float

    def met_by(self, ratio: float) -> bool:
        return ratio <= self.ratio if self.relation == "at most" else ratio >= self.ratio

    def __str__(self) -> str:
        return f"{self.relation} {self.ratio:g} times the bare"


@dataclass(frozen=True, slots=True)
class Bound:
    """Kafra's figure itself is at least, or at most, this, on whatever machine: what a whole realm needs."""

    relation: Literal["at least", "at most"]
    value: float

    def met_by(self, value: float) -> bool:
        return value <= self.value if self.relation == "at most" else value >= self.value

    def __str__(self) -> str:
        return f"{self.relation} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. kafra, bare: a sample a repeat, measured in turns. details: what else was seen, for who reads the JSON."""

    name: str
    what: str
    unit: str
    kafra: Sequence[float]
    bare: Sequence[float]
    target: Target | Bound | None = None
    bare_is: str = "plain nats-py"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return median(self.kafra) / median(self.bare)

    @property
    def ok(self) -> bool | None:
        """None: informative, nothing was promised."""
        if isinstance(self.target, Bound):
            return self.target.met_by(median(self.kafra))
        return None if self.target is None else self.target.met_by(self.ratio)

    def as_dict(self) -> dict[str, Any]:
        pairs = [one / other for one, other in zip(self.kafra, self.bare, strict=True)]
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "kafra": rounded(median(self.kafra)),
            "bare": rounded(median(self.bare)),
            "bare_is": self.bare_is,
            "ratio": rounded(self.ratio),
            "target": str(self.target) if self.target else None,
            "ok": self.ok,
            "runs": {
                "kafra": [rounded(value) for value in self.kafra],
                "bare": [rounded(value) for value in self.bare],
                "ratio": [rounded(value) for value in pairs],
            },
            **({"details": self.details} if self.details else {}),
        }


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0..1] of all do not exceed (nearest rank)."""
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    rank = -(-len(ordered) * share // 1)
    return ordered[min(len(ordered), max(1, int(rank))) - 1]


def rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")
