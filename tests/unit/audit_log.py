"""A log made by hand for the tests of services/ops/audit: a word a line, sequences and required keys filled in."""

from typing import Any

from libs.events import (
    Basis,
    Cause,
    Event,
    Fact,
    HostDown,
    HostId,
    HostSpec,
    HostUp,
    HostVerdict,
    MapAssign,
    MapCensus,
    MapMoved,
    MapName,
    NodeName,
    OpsBan,
    OpsDrain,
    Region,
    Stream,
)
from services.ops.audit import Audit, Finding, Rules

T0 = 1_700_000_000_000
SPEC = HostSpec(
    cpu_ghz=4.0,
    cpu_cores=8,
    free_ram_mb=16384,
    net_mbps=500,
    latency_ms=10,
    jitter_ms=2,
    packet_rate=500,
    region_rtt_ms={Region("eu"): 10},
)


class Log:
    """Facts in the order they are said. now_ms advances by a second with each `tick`."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.seqs: dict[Stream, int] = {}
        self.now_ms = T0
        self.looks = 0

    def tick(self, ms: int = 1000) -> None:
        self.now_ms += ms

    def say(self, stream: Stream, event: Event | None) -> int:
        """Returns the sequence. event None: a message that cannot be read."""
        seq = self.seqs[stream] = self.seqs.get(stream, 0) + 1
        self.facts.append(Fact(stream=stream, seq=seq, event=event))
        return seq

    def up(self, host: str, **changes: Any) -> int:
        fields: dict[str, Any] = {
            "account_id": 1,
            "at_ms": self.now_ms,
            "spec": SPEC,
            "region": Region("eu"),
            "network": "n1",
            "reach": "direct",
            "disconnects_ms": [],
            "slots": 4,
            "draining": False,
            "trust": 0.8,
            "ready_maps": [],
            "failed_maps": [],
        }
        return self.say(Stream.HOSTS, HostUp(host=HostId(host), **{**fields, **changes}))

    def down(self, host: str, **changes: Any) -> int:
        fields: dict[str, Any] = {"at_ms": self.now_ms, "reason": "silent", "detail": "no heartbeat", "disconnects_ms": []}
        return self.say(Stream.HOSTS, HostDown(host=HostId(host), **{**fields, **changes}))

    def verdict(self, host: str, verdict: str = "pass", **changes: Any) -> int:
        fields: dict[str, Any] = {
            "at_ms": self.now_ms,
            "kind": "cpu",
            "verdict": verdict,
            "strikes": 0,
            "blacklisted_until_ms": None,
            "trust": 0.8,
            "checks": {},
            "evidence": {},
        }
        return self.say(Stream.HOSTS, HostVerdict(host=HostId(host), **{**fields, **changes}))

    def drain(self, host: str, draining: bool = True) -> int:
        return self.say(Stream.HOSTS, OpsDrain(host=HostId(host), at_ms=self.now_ms, draining=draining, by="op"))

    def ban(self, host: str, until_ms: int | None) -> int:
        event = OpsBan(host=HostId(host), at_ms=self.now_ms, until_ms=until_ms, reason="rude", by="op")
        return self.say(Stream.HOSTS, event)

    def census(self, map_: str, players: int) -> int:
        event = MapCensus(map=MapName(map_), at_ms=self.now_ms, players={Region("eu"): players} if players else {})
        return self.say(Stream.MAPS, event)

    def moved(self, map_: str, tenure: int, outcome: str) -> int:
        fields: dict[str, Any] = {"from_": None, "to": HostId("h1"), "kind": "orderly", "outcome": outcome}
        event = MapMoved(map=MapName(map_), at_ms=self.now_ms, tenure=tenure, players=1, ms=10, **fields)
        return self.say(Stream.MAPS, event)

    def basis(self) -> Basis:
        return Basis(
            hosts=self.seqs.get(Stream.HOSTS, 0),
            maps=self.seqs.get(Stream.MAPS, 0),
            assignments=self.seqs.get(Stream.ASSIGNMENTS, 0),
        )

    def assign(self, map_: str, host: str | None, **changes: Any) -> int:
        """By default a decision by a tick of now, a look of its own, at the newest basis, of a new tenure."""
        self.looks += 1
        fields: dict[str, Any] = {
            "kind": "p2p" if host else "vps",
            "backups": [],
            "reason": "enter",
            "tenure": None,
            "since_ms": self.now_ms,
            "cause": Cause(tick_ms=changes.get("at_ms", self.now_ms)),
            "basis": self.basis(),
            "decider": "failover-1" if changes.get("reason") in {"failover", "drain"} else "scorer-1",
            "look": str(self.looks),
            "config": "c1",
            "score": 0.5,
            "candidates": [],
            "refused": {},
            "at_ms": self.now_ms,
        } | changes
        fields["decider"] = NodeName(fields["decider"])
        return self.say(Stream.ASSIGNMENTS, MapAssign(map=MapName(map_), host=HostId(host) if host else None, **fields))

    def refill(self, map_: str, host: str | None, tenure: int, since_ms: int, **changes: Any) -> int:
        return self.assign(map_, host, **{"reason": "refill", "tenure": tenure, "since_ms": since_ms} | changes)


RULES = Rules(
    enable_p2p=True,
    eligible=("pay_*", "gef_fild07"),
    never=("pay_dun99",),
    checks_on=True,
    trust_min=0.5,
    warm_backups=1,
)


def audited(log: Log, rules: Rules = RULES, **options: object) -> list[Finding]:
    quiet_since_ms = options.pop("quiet_since_ms", None)
    audit = Audit(rules, **options)  # type: ignore[arg-type]
    audit.feed_all(log.facts)
    return audit.findings(quiet_since_ms)  # type: ignore[arg-type]


def invariants(log: Log, rules: Rules = RULES, **options: object) -> list[str]:
    return [finding.invariant for finding in audited(log, rules, **options)]


def hosts(count: int = 4, **changes: object) -> Log:
    log = Log()
    for number in range(1, count + 1):
        log.up(f"h{number}", **changes)
    log.tick()
    return log


def full(slots: int = 2) -> Log:
    """h1 has pay_a as primary and pay_b as warm backup: two slots taken."""
    log = hosts(5)
    log.up("h1", slots=slots)
    log.assign("pay_a", "h1")
    log.assign("pay_b", "h2", backups=["h1", "h3"])
    log.tick()
    return log


def in_one_look(log: Log, *decisions: tuple[str, str | None, dict[str, object]]) -> None:
    basis = log.basis()
    for map_, host, changes in decisions:
        log.assign(map_, host, basis=basis, look="together", **changes)
