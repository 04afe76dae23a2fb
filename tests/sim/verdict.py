"""What must hold at the end, when all has been quiet for a while. In: a finished run. Out: `Violation`s.

- nothing acknowledged is lost, nothing is doubled;
- the independent checker of the log (services/ops/audit) finds nothing;
- the log decided again is the log (redecide.py), and a fresh decider finds nothing left to decide;
- every replica has the world the log tells;
- hosts that run and are fit are up, those that are gone are down, and each runs what the log gives it;
- every host could take one more player.
"""

from collections.abc import Iterator

from libs.bus.memory_log import MemoryLog
from libs.config import Settings
from libs.events import Basis, Fact, HostId, HostVerdict, MapAssign, MapEnter, MapLeave, Stream
from libs.hosting.looks import Look
from libs.hosting.world import World
from services.ops.audit import Audit, Rules
from tests.sim.clock import SECOND
from tests.sim.judge import Judge, Violation
from tests.sim.machines import SimHost
from tests.sim.plan import Plan
from tests.sim.process import Process
from tests.sim.redecide import STREAMS, Facts, decider_for, differences

QUIET_MS = 1_000
"""The world is repaired this long after the last word that broke it (DESIGN D14)."""


def detection_us(plan: Plan) -> int:
    """How long the registry may take to notice, after all is mended: a new holder of the lease, its listening window, a hold
    of the mass-death brake, and the silence itself."""
    failover, monitoring = plan.settings.failover, plan.settings.monitoring
    longest_ms = failover.silence_ms + monitoring.heartbeat_idle_ms
    return (2 * longest_ms + failover.mass_death_hold_ms + int(2.5 * plan.lease_ttl_ms)) * 1_000 + 4 * SECOND


def violations(
    plan: Plan, log: MemoryLog, judge: Judge, processes: list[Process], hosts: dict[HostId, SimHost], now_ms: int
) -> Iterator[Violation]:
    quiet_ms = now_ms - QUIET_MS
    facts = Facts(judge.facts)
    yield from _kept(log, judge)
    yield from _audited(plan.settings, judge.facts, quiet_ms - plan.skew_ms)
    for text in differences(facts, plan.settings):
        yield Violation("redecide", text)
    yield from _undecided(plan.settings, facts, now_ms)
    world = World()
    for fact in judge.facts:
        world.apply(fact)
    yield from _worlds(facts, processes)
    yield from _hosts(world, plan.settings, hosts, judge.facts, quiet_ms)
    yield from _crowds(world, plan.settings, quiet_ms)


def _kept(log: MemoryLog, judge: Judge) -> Iterator[Violation]:
    stored = {kept.msg_id: kept for stream in STREAMS for kept in log.read(stream)}
    if len(stored) != sum(log.last_seq(stream) for stream in STREAMS):
        yield Violation("doubled", "two messages of the log have the same Msg-Id")
    moves = [kept.body for kept in stored.values() if isinstance(kept.fact.event, MapEnter | MapLeave)]
    if len(set(moves)) != len(moves):
        yield Violation("doubled", "a player enters or leaves twice at one moment")
    for msg_id, (write, seq) in judge.acknowledged.items():
        kept = stored.get(msg_id)
        if kept is None or kept.seq != seq or kept.fact.event != write.event:
            yield Violation("lost", f"{msg_id} was acknowledged at {seq} and is not there: {write.event}")


def _audited(settings: Settings, facts: list[Fact], quiet_ms: int) -> Iterator[Violation]:
    audit = Audit(
        Rules(
            enable_p2p=settings.general.enable_p2p_maps,
            eligible=settings.maps.eligible_patterns,
            never=settings.maps.never,
            checks_on=settings.general.enable_p2p_security_checks,
            trust_min=settings.security.trust_min,
            warm_backups=settings.failover.warm_backups,
            vps_fallback=settings.general.enable_vps_fallback,
        )
    )
    audit.feed_all(facts)
    for finding in audit.findings(quiet_ms):
        if finding.invariant in ("unassigned", "overfull") and not settings.general.enable_vps_fallback:
            continue  # enable_vps_fallback 0: with no other host a map waits for one, or stays where it is too much
        yield Violation(f"audit {finding.invariant}", str(finding))


def _undecided(settings: Settings, facts: Facts, now_ms: int) -> Iterator[Violation]:
    """A fresh decider, given the whole log, decides nothing that was known for longer than QUIET_MS."""
    for name in ("scorer-fresh", "failover-fresh"):
        decider = decider_for(name, settings)
        for stream in STREAMS:
            for fact in facts.of[stream]:
                decider.on_fact(fact)
        look = Look("fresh", now_ms, False, decider.world.basis, name, settings.hash())
        for assign in decider.decide(look):
            if _known_since_ms(assign, facts) <= now_ms - QUIET_MS:
                yield Violation("repaired", f"nobody decided what {name} decides now: {assign}")


def _crowds(world: World, settings: Settings, quiet_ms: int) -> Iterator[Violation]:
    """No host has as many players as it takes; without the VPS there may be nobody else who has room."""
    for host in world.hosts.values() if settings.general.enable_vps_fallback else ():
        if not host.is_up or host.up is None or host.up.players_max is None or host.up.at_ms > quiet_ms:
            continue
        served = [state for state in world.maps.values() if state.assign is not None and state.assign.host == host.id]
        here = sum(state.player_count for state in served)
        is_old = all(state.assign is not None and state.assign.at_ms <= quiet_ms for state in served)
        if here >= host.up.players_max and is_old:
            yield Violation("crowded", f"{host.id} takes {host.up.players_max} players and has {here}")


def _known_since_ms(assign: MapAssign, facts: Facts) -> int:
    cause = assign.cause
    assert cause.stream is not None
    assert cause.seq is not None
    stored = [facts.of[Stream(cause.stream)][cause.seq - 1].stored_ms]
    stored += [fact.stored_ms for fact in facts.of[Stream.ASSIGNMENTS] if getattr(fact.event, "map", None) == assign.map][-1:]
    return max(stored)


def _worlds(facts: Facts, processes: list[Process]) -> Iterator[Violation]:
    """Each replica's world is what the log tells up to where the replica has read."""
    folded: dict[Basis, World] = {}
    for process in processes:
        mine = process.core.world
        if (told := folded.get(mine.basis)) is None:
            told = folded[mine.basis] = World()
            for fact in facts.between(Basis(0, 0, 0), mine.basis):
                told.apply(fact)
        for what in (("hosts", "fact_seq"), ("maps", "tenure"), ("maps", "players")):
            if _said(mine, *what) != _said(told, *what):
                yield Violation("world", f"{process.name} has another picture of the {what[0]} ({what[1]}) than the log")


def _said(world: World, of: str, what: str) -> dict[str, object]:
    return {name: said for name, item in getattr(world, of).items() if (said := getattr(item, what))}


def _hosts(
    world: World, settings: Settings, hosts: dict[HostId, SimHost], facts: list[Fact], quiet_ms: int
) -> Iterator[Violation]:
    excluded_until_ms: dict[HostId, int] = {}
    """The latest end of each, also of one that a later verdict no longer names."""
    for event in (fact.event for fact in facts):
        if isinstance(event, HostVerdict) and event.blacklisted_until_ms is not None:
            excluded_until_ms[event.host] = event.blacklisted_until_ms
    for host_id, host in hosts.items():
        said = world.host(host_id)
        if not host.running and said.is_up:
            yield Violation("host", f"{host_id} is gone and still up")
        if not host.running or host.leaving:
            continue
        next_beat_ms = settings.monitoring.heartbeat_idle_ms  # a host is judged when it is heard
        free_ms = max(said.excluded_until_ms, excluded_until_ms.get(host_id, 0))
        barred = said.draining or free_ms > quiet_ms - next_beat_ms or host.machine.weakness
        faults = len(said.disconnects_ms) > settings.host_requirements.max_disconnects_per_hour
        if not said.is_up and not barred and not faults:
            yield Violation("host", f"{host_id} runs, is fit, and is not up: {said.down}")
        has_been_up = said.is_up and said.up is not None and said.up.at_ms <= quiet_ms
        if has_been_up and not _runs_what_it_should(host, world, settings, quiet_ms):
            yield Violation("order", f"{host_id} runs {sorted(host.agent.wanted)}, which is not what the log gives it")


def _runs_what_it_should(host: SimHost, world: World, settings: Settings, quiet_ms: int) -> bool:
    host_id = host.machine.host
    names = set(world.serving.get(host_id, ()))
    names |= {name for name, rank in world.backing.get(host_id, {}).items() if rank < settings.failover.warm_backups}
    wanted = {name: ordered.tenure for name, ordered in host.agent.wanted.items()}
    given = {name: world.map(name).tenure for name in names}
    differing = [name for name in given.keys() | wanted.keys() if given.get(name) != wanted.get(name)]
    # An order may be lost once and is repeated a second later; and it may be of this very second.
    return all((assign := world.map(name).assign) is not None and assign.at_ms > quiet_ms - 2_000 for name in differing)
