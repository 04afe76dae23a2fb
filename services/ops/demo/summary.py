"""What the demo shows while it runs and at its end."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from libs.config import Settings
from libs.events import HostDown, HostUp, HostVerdict, MapMoved
from services.ops.audit import Finding
from services.ops.console import table
from services.ops.demo.bridge import SimulatedBridge
from services.ops.demo.options import DemoOptions
from services.ops.host_view import host_rows
from services.ops.replay import Log, Report
from services.ops.stack import Stack
from services.ops.views import map_rows

SHOWN = 14
"""Maps in the live table."""
FINDINGS_SHOWN = 20


@dataclass
class Summary:
    """Everything the run says of itself. findings: of the audit; report: of replay."""

    log: Log
    findings: list[Finding]
    report: Report
    unjudged: int
    dead_letters: int
    quiet_ms: int
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        judged = self.report.decisions > 0 and not self.report.skipped and self.unjudged == 0
        return judged and not self.findings and not self.report.differences and not self.figures.get("writes_lost", 0)

    def take(self, bridge: SimulatedBridge, stack: Stack, options: DemoOptions) -> None:
        """Figures of the run."""
        hosted, everyone = bridge.players_on_hosts()
        restarts = sum(child.restarts for child in stack.supervisor.children) if stack.supervisor else 0
        downs = Counter(fact.event.reason for fact in self.log.hosts if isinstance(fact.event, HostDown))
        moves = [fact.event for fact in self.log.maps if isinstance(fact.event, MapMoved)]
        self.figures = {
            "seconds": options.seconds,
            "hosts_simulated": options.hosts,
            "hosts_accepted": len({fact.event.host for fact in self.log.hosts if isinstance(fact.event, HostUp)}),
            "hosts_down_by_reason": dict(sorted(downs.items())),
            "blacklisted": len(_blacklisted(self.log)),
            "players": everyone,
            "players_on_hosts": hosted,
            "enters": bridge.said["map.enter"],
            "maps": len(bridge.world.maps),
            "decisions": self.report.decisions,
            "decisions_by_reason": dict(sorted(bridge.reasons.items())),
            "moves_by_outcome": dict(sorted(Counter(move.outcome for move in moves).items())),
            "enter_to_assign_ms_p50": bridge.latency_ms and round(bridge.latency_ms, 2),
            "service_restarts": restarts,
            "writes_lost": bridge.lost_writes,
            "dead_letters": self.dead_letters,
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.good,
            **self.figures,
            "findings": [str(finding) for finding in self.findings[:FINDINGS_SHOWN]],
            "findings_count": len(self.findings),
            "replay": {
                "looks": self.report.looks,
                "decisions": self.report.decisions,
                "differences": [str(difference) for difference in self.report.differences],
                "skipped": self.report.skipped,
            },
        }


def live_table(bridge: SimulatedBridge, stack: Stack, settings: Settings, now_ms: int, elapsed_s: float, seconds: int) -> Group:
    """The first act as it happens."""
    hosts, maps = host_rows(bridge.world, {}, settings, now_ms), map_rows(bridge.world, now_ms)
    states = Counter(row["state"] for row in hosts)
    up = sum(row["up"] for row in hosts)
    hosted, everyone = bridge.players_on_hosts()
    head = Text.assemble(
        ("Kafra demo ", "bold"),
        f"{elapsed_s:.0f} of {seconds} s   hosts up {up}, down {states['down']}, "
        f"blacklisted {states['blacklisted']}   players {everyone}, on hosts {hosted}   "
        f"maps on hosts {sum(row['kind'] == 'p2p' for row in maps)} of {len(maps)}",
    )
    p50 = "-" if bridge.latency_ms is None else f"{bridge.latency_ms:.1f} ms"
    reasons = ", ".join(f"{reason} {count}" for reason, count in bridge.reasons.most_common())
    foot = Text(f"enters {bridge.said['map.enter']}   first enter -> assigned, median {p50}   {reasons}", style="dim")
    return Group(head, _maps_table(maps), foot, Text(f"NATS {stack.url}: kafra events --nats {stack.url} -f", style="dim"))


def progress_line(bridge: SimulatedBridge, elapsed_s: float, seconds: int) -> str:
    hosted, everyone = bridge.players_on_hosts()
    up = sum(host.is_up for host in bridge.world.hosts.values())
    enters = bridge.said["map.enter"]
    return f"{elapsed_s:4.0f} of {seconds} s: {up} hosts up, {everyone} players, {hosted} on hosts, {enters} enters"


def print_summary(summary: Summary, console: Console) -> None:
    rows = [(name.replace("_", " "), _plain(value)) for name, value in summary.figures.items()]
    console.print(table("", ("what", "how many"), rows))
    for finding in summary.findings[:FINDINGS_SHOWN]:
        console.print(f"invariant broken: {finding}", style="red", markup=False)
    for difference in summary.report.differences:
        console.print(f"replay: {difference}", style="red", markup=False)
    for why, count in summary.report.skipped.items():
        console.print(f"replay: {count} decisions skipped: {why}", style="red", markup=False)
    invariants = "every invariant held" if not summary.findings else f"{len(summary.findings)} invariants broken"
    replay = f"{summary.report.decisions} decisions decided again, {len(summary.report.differences)} differ"
    console.print(f"{invariants}; {replay}", style="bold green" if summary.good else "bold red")


def _maps_table(rows: list[dict[str, Any]]) -> Table:
    cells = []
    for row in rows[:SHOWN]:
        move = row["last_move"]
        moved = "" if move is None else f"{move['outcome']} ({move['kind']})"
        cells.append([row["map"], row["server"], row["players"], " ".join(row["backups"]), row["reason"], moved])
    return table("", ("map", "server", ("players", "right"), "backups", "reason", "last move"), cells)


def _blacklisted(log: Log) -> set[str]:
    return {fact.event.host for fact in log.hosts if isinstance(fact.event, HostVerdict) and fact.event.verdict == "blacklist"}


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "none"
    return str(value)
