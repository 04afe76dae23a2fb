"""The check `slots`: nobody is given more than it has room for (DESIGN D14), as its decider could see.

**Who is judged**: a host that the map's assignment before did not name at all, and that takes a slot now, as the primary or as
one of the first `warm_backups` backups. A backup that moves up was accepted before; when that overfills it, the scorer
repairs it.

**What is counted against it**: other maps whose last assignment *at the basis* takes a slot of it, with these exceptions, in
the decider's favour:

- A map decided earlier in the same look counts as decided there, whether that takes a slot or frees one.
- A map decided later in the same look counts only if it took the slot before and keeps it: the decider may have freed it first.
- A map that somebody else wrote between the basis and this decision does not count: the decider may have freed it in this look
  and been refused, which leaves no trace.

Two deciders that fill the last slot at the same moment are therefore not accused; one that fills it twice is.
"""

from collections.abc import Callable, Iterator

from libs.events import HostId, HostUp, MapAssign, MapName, Stream, subject_of
from services.ops.audit.finding import Finding, Rules
from services.ops.audit.history import Decision, History

RulesOf = Callable[[MapAssign], Rules]


def slots(decisions: list[Decision], history: History, rules_of: RulesOf) -> Iterator[Finding]:
    """decisions: those whose basis is known. They are judged in the order of their bases, so that the log is walked once."""
    looks: dict[tuple[str, str], list[Decision]] = {}
    for decision in history.decisions:
        looks.setdefault(decision.look, []).append(decision)
    holders: dict[HostId, set[MapName]] = {}
    stored = iter(history.decisions)
    following = next(stored, None)
    for decision in sorted(decisions, key=lambda decision: decision.assign.basis.assignments):
        while following is not None and following.seq <= decision.assign.basis.assignments:
            _apply(following, holders, rules_of)
            following = next(stored, None)
        for host in _judged(decision, history, rules_of(decision.assign)):
            up = history.said_of(host).life.at(decision.assign.basis.hosts)
            if not isinstance(up, HostUp):
                continue  # the check `host` speaks of it
            used = _used(decision, holders.get(host, set()), history)
            _count_look(used, decision, host, looks[decision.look], rules_of)
            if len(used) >= up.slots:
                text = f"gives it to {host}, whose {up.slots} slots are taken by {', '.join(sorted(used)[:5]) or 'nothing'}"
                yield Finding("slots", subject_of(decision.assign), decision.seq, text)


def overfull(history: History, rules_of: RulesOf, quiet_since_ms: int | None) -> Iterator[Finding]:
    """Hosts that are up at the end and hold more than their slots. Not judged: what was decided, or said of the host, after
    quiet_since_ms."""
    holding: dict[HostId, list[tuple[int, MapAssign]]] = {}
    for timeline in history.assignments.values():
        seq, assign = timeline.seqs[-1], timeline.events[-1]
        for host in takers(assign, rules_of(assign).warm_backups):
            holding.setdefault(host, []).append((seq, assign))
    for host, held in holding.items():
        up = history.said_of(host).life.last()[1]
        if not isinstance(up, HostUp) or len(held) <= up.slots:
            continue
        seq, newest = max(held, key=lambda pair: pair[0])
        if quiet_since_ms is None or max(up.at_ms, newest.at_ms) <= quiet_since_ms:
            text = f"{host} still holds {len(held)} maps with {up.slots} slots; this was the last of them"
            yield Finding("overfull", subject_of(newest), seq, text)


def _apply(decision: Decision, holders: dict[HostId, set[MapName]], rules_of: RulesOf) -> None:
    map_, before = decision.assign.map, decision.before
    for host in takers(before, rules_of(before).warm_backups) if before else []:
        holders[host].discard(map_)
    for host in takers(decision.assign, rules_of(decision.assign).warm_backups):
        holders.setdefault(host, set()).add(map_)


def _judged(decision: Decision, history: History, rules: Rules) -> list[HostId]:
    before = decision.before
    if before is None and not history.whole(Stream.ASSIGNMENTS):
        return []
    named_before = [before.host, *before.backups] if before else []
    return [host for host in takers(decision.assign, rules.warm_backups) if host not in named_before]


def _used(decision: Decision, holding: set[MapName], history: History) -> set[MapName]:
    """Other maps that take a slot of the host at the basis, but those contested since."""
    basis, own = decision.assign.basis.assignments, decision.assign.map
    return {map_ for map_ in holding if map_ != own and not _contested(map_, basis, decision, history)}


def _count_look(used: set[MapName], decision: Decision, host: HostId, look: list[Decision], rules_of: RulesOf) -> None:
    """Change `used` by what the same look decided of other maps."""
    for other in look:
        takes = host in takers(other.assign, rules_of(other.assign).warm_backups)
        if other.assign.map == decision.assign.map:
            continue
        if takes and other.seq < decision.seq:
            used.add(other.assign.map)
        elif not takes:
            used.discard(other.assign.map)


def _contested(map_: MapName, basis: int, decision: Decision, history: History) -> bool:
    between = history.assignments[map_].written_between(basis, decision.seq)
    return any((assign.decider, assign.look) != decision.look for assign in between)


def takers(assign: MapAssign, warm_backups: int) -> list[HostId]:
    """Who gives a slot to this map."""
    primary = [assign.host] if assign.host is not None else []
    return [*primary, *assign.backups[:warm_backups]]
