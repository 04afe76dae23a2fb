"""Would this machine be accepted: each requirement, its value here, met or not, and what to do. Pure but for printing.

In: what was measured and what is required. Out: rows, a table, a JSON value. Called by doctor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rich.table import Table

from libs.config import HostRequirements
from libs.events import Region
from libs.hosting.eligibility import AT_MOST
from services.agent.core import Measured
from services.agent.requirements import REQUIREMENTS, Requirement

COUNTED_THERE: Final = "the server counts them"
UNMEASURED: Final = "not measured"


@dataclass(frozen=True)
class Row:
    """met: None where nothing was measured. needed: at most it for `at` most, at least it for `at` least."""

    requirement: Requirement
    at: Literal["least", "most"]
    needed: float
    value: float | None

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.needed if self.at == "most" else self.value >= self.needed

    @property
    def todo(self) -> str:
        if self.requirement.value is None:
            return COUNTED_THERE
        return {None: UNMEASURED, True: "", False: self.requirement.todo}[self.met]


@dataclass
class Diagnosis:
    """url: of the server, without a password. answers: it did. accepted: this identity, where it answers. key_missing: there is
    no file with its key. bundle_named: where it is fetched, and whose. limits: of host_requirements as the server said them;
    without a word of it the shipped ones count. notes: what went otherwise."""

    host: str
    url: str
    measured: Measured = field(default_factory=Measured)
    answers: bool = False
    accepted: bool = True
    key_missing: bool = False
    bundle_named: bool = True
    limits: Mapping[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        limits = {**HostRequirements().model_dump(), **self.limits}
        return [
            Row(
                requirement,
                "most" if requirement.name in AT_MOST else "least",
                float(limits[requirement.name]),
                None if requirement.value is None else getattr(self.measured, requirement.value),
            )
            for requirement in REQUIREMENTS
        ]

    @property
    def fit(self) -> bool:
        """What is not measured counts as the least allowed (DESIGN D8)."""
        return self.accepted and all(row.met is not False for row in self.rows)

    @property
    def regions(self) -> dict[Region, float | None]:
        return self.measured.region_rtt_ms or {}

    def verdict(self) -> str:
        if not self.accepted:
            if self.key_missing:
                return "this machine has no key: kafra agent enroll makes one, its line is for the operator"
            return f"{self.url} does not accept this identity: ask the operator"
        if not self.answers:
            return f"nothing answers at {self.url}: measured is what can be without it"
        unmet = [row.requirement.what for row in self.rows if row.met is False]
        if unmet:
            return f"not accepted: {', '.join(unmet)}"
        missing = "" if self.bundle_named else ", and gets maps once agent.toml names bundle_url and bundle_key"
        return f"this machine would be accepted{missing}"

    def as_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "nats": self.url,
            "answers": self.answers,
            "accepted": self.accepted if self.answers or not self.accepted else None,
            "bundle_named": self.bundle_named,
            "limits": "server" if self.limits else "shipped",
            "fit": self.fit,
            "requirements": [
                {
                    "requirement": row.requirement.name,
                    "at": row.at,
                    "needed": row.needed,
                    "value": row.value,
                    "unit": row.requirement.unit,
                    "met": row.met,
                    "todo": row.todo,
                }
                for row in self.rows
            ],
            "region_rtt_ms": self.regions,
            "notes": self.notes,
        }

    def table(self) -> Table:
        made = Table(header_style="bold", box=None, pad_edge=False)
        for column in ("requirement", "needed", "here", "met", "what to do"):
            made.add_column(column, overflow="fold")
        for row in self.rows:
            unit = f" {row.requirement.unit}" if row.requirement.unit else ""
            made.add_row(
                row.requirement.what,
                f"at {row.at} {row.needed:g}{unit}",
                "–" if row.value is None else f"{_short(row.value)}{unit}",
                {True: "yes", False: "[red]no[/]", None: "–"}[row.met],
                row.todo,
            )
        for region, rtt_ms in sorted(self.regions.items()):
            made.add_row(f"relay of {region}", "", "no answer" if rtt_ms is None else f"{_short(rtt_ms)} ms", "", "")
        return made


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
