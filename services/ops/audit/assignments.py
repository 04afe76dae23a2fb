"""Checks of single decisions and of looks: tenure, backups, host, eligible, cause, reason, look."""

from collections.abc import Iterator
from dataclasses import dataclass

from libs.events import (
    Basis,
    ConfigApplied,
    HostId,
    HostUp,
    MapAssign,
    Stream,
    subject_of,
)
from services.ops.audit.finding import Finding, Rules
from services.ops.audit.history import Decision, History, HostHistory


def tenure(decision: Decision, tenure_before: int, history: History) -> Iterator[Finding]:
    """tenure_before: in force until this decision, 0 for unknown."""
    assign, before = decision.assign, decision.before
    if assign.since_ms > assign.at_ms:
        yield _finding("tenure", decision, f"serves since {assign.since_ms}, after the decision itself ({assign.at_ms})")
    if decision.before_seq > assign.basis.assignments:
        yield _finding("tenure", decision, f"overwrites #{decision.before_seq}, which its decider had not read")
    if assign.basis.assignments >= decision.seq:
        yield _finding("tenure", decision, f"claims to have read up to #{assign.basis.assignments}, itself or later")
    if assign.tenure is None:
        return
    if before is None:
        if history.whole(Stream.ASSIGNMENTS):
            yield _finding("tenure", decision, f"carries tenure {assign.tenure} on, but the map had none")
        return
    if assign.tenure != tenure_before:
        yield _finding("tenure", decision, f"carries tenure {assign.tenure} on, but {tenure_before} is in force")
    if (assign.kind, assign.host) != (before.kind, before.host):
        yield _finding("tenure", decision, f"changes {_server(before)} to {_server(assign)} within one tenure")
    if assign.since_ms != before.since_ms:
        yield _finding("tenure", decision, f"changes since_ms from {before.since_ms} to {assign.since_ms} within one tenure")


def backups(decision: Decision) -> Iterator[Finding]:
    named = [*decision.assign.backups, *([decision.assign.host] if decision.assign.host else [])]
    for host in sorted({host for host in named if named.count(host) > 1}):
        yield _finding("backups", decision, f"names {host} more than once")


def eligible(decision: Decision, rules: Rules) -> Iterator[Finding]:
    if decision.assign.kind == "p2p" and not rules.allows_p2p(decision.assign.map):
        yield _finding("eligible", decision, "gives a host a map that the settings keep on the VPS")


def hosts(decision: Decision, rules: Rules, history: History) -> Iterator[Finding]:
    """Every host newly given or newly listed, at the basis. The caller made sure that the basis is known."""
    assign, before = decision.assign, decision.before
    if before is None and not history.whole(Stream.ASSIGNMENTS):
        return  # who is new cannot be told
    listed_before = before.backups if before else []
    new = [host for host in assign.backups if host not in listed_before]
    if assign.host is not None and (before is None or assign.host != before.host):
        new.append(assign.host)
    for host in new:
        for why in _unfit(host, decision, history.said_of(host), rules, history.whole(Stream.HOSTS)):
            yield _finding("host", decision, f"gives it to {host}, which {why}")


def cause(decision: Decision, history: History) -> Iterator[Finding]:
    assign = decision.assign
    if assign.cause.tick_ms is not None:
        if assign.cause.tick_ms != assign.at_ms:
            yield _finding("cause", decision, f"was decided at {assign.at_ms}, but by the tick of {assign.cause.tick_ms}")
        return
    assert assign.cause.stream is not None
    assert assign.cause.seq is not None
    stream, seq = Stream(assign.cause.stream), assign.cause.seq
    if seq > _read(assign.basis, stream):
        yield _finding("cause", decision, f"is caused by {stream} {seq}, beyond its basis")
        return
    exists, event = history.stored(stream, seq)
    if not exists and (seq == 0 or history.must_have(stream, seq)):
        yield _finding("cause", decision, f"is caused by {stream} {seq}, which does not exist")
    elif exists and (event is None or isinstance(event, ConfigApplied)):
        what = "cannot be read" if event is None else f"is {subject_of(event)}, which no decider listens to"
        yield _finding("cause", decision, f"is caused by {stream} {seq}, which {what}")


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason allows. writers: prefixes of the decider's name. moves: it changes who serves, in a new tenure.
    before: kinds of assignment it may replace (None: none yet). after: kinds it may write."""

    writers: tuple[str, ...]
    moves: bool
    before: tuple[str | None, ...]
    after: tuple[str, ...]


SCORER, FAILOVER = "scorer-", "failover-"
REASONS = {
    "enter": Reason((SCORER,), False, (None, "vps"), ("p2p", "vps")),
    "promote": Reason((SCORER,), True, (None, "vps"), ("p2p",)),
    "rebalance": Reason((SCORER,), True, ("p2p",), ("p2p", "vps")),
    "refill": Reason((SCORER,), False, ("p2p", "vps"), ("p2p", "vps")),
    "idle": Reason((SCORER,), False, ("p2p", "vps"), ("vps",)),
    "failover": Reason((FAILOVER,), True, ("p2p",), ("p2p", "vps")),
    "drain": Reason((FAILOVER,), True, ("p2p",), ("p2p", "vps")),
    "operator": Reason((SCORER, FAILOVER), False, (None, "p2p", "vps"), ("p2p", "vps")),
}
"""Failover alone replaces what is p2p and not valid, a draining host included; the scorer writes all others (D3). A map that
the scorer takes back because its host is overfull (D14) is a rebalance, to another host or to the VPS."""


def reason(decision: Decision, history: History) -> Iterator[Finding]:
    assign, before, allowed = decision.assign, decision.before, REASONS[decision.assign.reason]
    if not assign.decider.startswith(allowed.writers):
        yield _finding("reason", decision, f"{assign.reason} is not for {assign.decider} to write")
    if assign.kind not in allowed.after:
        yield _finding("reason", decision, f"{assign.reason} does not lead to {assign.kind}")
    if assign.reason == "refill" and assign.tenure is None:
        yield _finding("reason", decision, "refill begins a tenure")
    if before is None and not history.whole(Stream.ASSIGNMENTS):
        return
    kind_before = before.kind if before else None
    if kind_before not in allowed.before:
        yield _finding("reason", decision, f"{assign.reason} does not replace {kind_before or 'nothing'}")
    elif allowed.moves and before is not None and (assign.kind, assign.host) == (before.kind, before.host):
        yield _finding("reason", decision, f"{assign.reason} leaves the map with {_server(before)}")


def looks(decisions: list[Decision]) -> Iterator[Finding]:
    """All decisions, in the order of the log."""
    first_of: dict[tuple[str, str], Decision] = {}
    last_of: dict[str, Decision] = {}
    for decision in decisions:
        first = first_of.setdefault(decision.look, decision)
        for name in ("basis", "config", "at_ms"):
            ours, theirs = getattr(decision.assign, name), getattr(first.assign, name)
            if ours != theirs:
                yield _finding("look", decision, f"has {name} {ours}, but #{first.seq} of the same look has {theirs}")
        last = last_of.get(decision.assign.decider)
        if last is not None and _goes_back(last.assign.basis, decision.assign.basis):
            yield _finding("look", decision, f"its decider had read more for #{last.seq}: {last.assign.basis}")
        last_of[decision.assign.decider] = decision


def _unfit(host: HostId, decision: Decision, said: HostHistory, rules: Rules, whole: bool) -> Iterator[str]:
    assign, seq = decision.assign, decision.assign.basis.hosts
    life, verdict, drain, ban = said.life.at(seq), said.verdicts.at(seq), said.drains.at(seq), said.bans.at(seq)
    if life is None and whole:
        yield "was never up"
    if life is not None and not isinstance(life, HostUp):
        yield f"was down ({life.reason})"
    if isinstance(life, HostUp):
        yield from _unfit_as_up(life, assign, rules)
    if drain is not None and drain.draining:
        yield "was draining by the operator's word"
    if verdict is not None and verdict.blacklisted_until_ms is not None and verdict.blacklisted_until_ms > assign.at_ms:
        yield f"was blacklisted until {verdict.blacklisted_until_ms}"
    if ban is not None and (ban.until_ms is None or ban.until_ms > assign.at_ms):
        yield f"was banned until {ban.until_ms or 'lifted'}"
    if decision.before is not None and decision.before.cooling.get(host, 0) > assign.at_ms:
        yield f"was cooling until {decision.before.cooling[host]}"


def _unfit_as_up(up: HostUp, assign: MapAssign, rules: Rules) -> Iterator[str]:
    if up.draining:
        yield "was draining"
    if rules.checks_on and (up.trust <= 0 or up.trust < rules.trust_min):
        yield f"had trust {up.trust}, below {rules.trust_min}" if up.trust > 0 else "was never checked"
    if assign.map in up.failed_maps:
        yield "had failed this map"


def _read(basis: Basis, stream: Stream) -> int:
    read: dict[Stream, int] = {Stream.HOSTS: basis.hosts, Stream.MAPS: basis.maps, Stream.ASSIGNMENTS: basis.assignments}
    return read[stream]


def _goes_back(earlier: Basis, later: Basis) -> bool:
    return later.hosts < earlier.hosts or later.maps < earlier.maps or later.assignments < earlier.assignments


def _server(assign: MapAssign) -> str:
    return assign.host or "the VPS"


def _finding(invariant: str, decision: Decision, text: str) -> Finding:
    return Finding(invariant, subject_of(decision.assign), decision.seq, text)
