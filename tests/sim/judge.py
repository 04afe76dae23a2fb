"""What must hold at every moment, checked as each message is stored, and what clients were told about it.

In: stored facts, acknowledgements, obeyed orders. Out: `Violation`, raised where it happens. Written from the design, not from
the cores. What must hold at the end: tests/sim/verdict.py.
"""

from collections import Counter

from libs.events import (
    Event,
    Fact,
    HostDown,
    HostId,
    HostMetrics,
    HostOrder,
    HostUp,
    HostVerdict,
    MapAssign,
    MapName,
    OpsBan,
    OpsDrain,
    Stream,
)
from libs.hosting.effects import Append
from tests.sim.clock import MS, SECOND, START_MS, Clock
from tests.sim.crowds import Crowds
from tests.sim.machines import SimHost
from tests.sim.plan import Plan
from tests.sim.process import Process


class Violation(Exception):
    """invariant: its name. text: a sentence."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class Judge:
    """processes, hosts: by name. facts: the log, in the order it was written."""

    def __init__(self, plan: Plan, clock: Clock, processes: list[Process], hosts: dict[HostId, SimHost]) -> None:
        self._plan, self._settings, self._clock = plan, plan.settings, clock
        self._processes, self._hosts = processes, hosts
        self.facts: list[Fact] = []
        self.acknowledged: dict[str, tuple[Append, int]] = {}
        self.counts: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._said: dict[HostId, list[Fact]] = {}
        self._assigned: dict[MapName, tuple[int, int, MapAssign]] = {}
        self._crowds = Crowds()

    def on_append(self, fact: Fact, msg_id: str, by: str) -> None:
        if msg_id in self._ids:
            raise Violation("doubled", f"{msg_id} is stored twice")
        self._ids.add(msg_id)
        self.facts.append(fact)
        self.counts["facts"] += 1
        event = fact.event
        if event is None:
            raise Violation("unreadable", f"{fact.stream} {fact.seq}, written by {by}")
        if isinstance(event, MapAssign):
            self._check_assignment(event, fact.seq)
        elif isinstance(event, HostUp | HostDown):
            self._check_life(event, by)
        self._crowds.on_fact(fact)
        if fact.stream is Stream.HOSTS and (host := getattr(event, "host", None)) is not None:
            self._said.setdefault(host, []).append(fact)

    def on_acknowledged(self, msg_id: str, write: Append, seq: int) -> None:
        before = self.acknowledged.setdefault(msg_id, (write, seq))
        if before[1] != seq:
            raise Violation("doubled", f"{msg_id} was acknowledged at {before[1]} and at {seq}")

    def on_wrong_order(self, host: SimHost, order: HostOrder) -> None:
        raise Violation("order", f"{host.name} obeys {(order.lease, order.as_of)} after a newer one")

    def on_lost_word(self, event: Event) -> None:
        """A lost heartbeat is a fault that touches its host."""
        if isinstance(event, HostMetrics):
            self._hosts[event.host].touched_us = max(self._hosts[event.host].touched_us, self._clock.now_us)

    # One owner in one tenure; at the basis never a host that must not have it, or has no room for its players.

    def _check_assignment(self, assign: MapAssign, seq: int) -> None:
        self.counts[f"assign {assign.reason}"] += 1
        before_seq, tenure, before = self._assigned.get(assign.map, (0, 0, None))
        if before_seq > assign.basis.assignments:
            raise Violation("tenure", f"{assign.map} #{seq} overwrites #{before_seq}, which {assign.decider} had not read")
        if assign.tenure is not None and (before is None or assign.tenure != tenure or assign.host != before.host):
            raise Violation("tenure", f"{assign.map} #{seq} changes the owner within tenure {assign.tenure}")
        name, general = assign.map, self._settings.general
        if assign.host is not None and not (general.enable_p2p_maps and name.startswith("fld_") and name[4] != "x"):
            raise Violation("eligible", f"{name} #{seq} is given to {assign.host} and must stay on the VPS")
        named_before = [] if before is None else [before.host, *before.backups]
        for host in (assign.host, *assign.backups):
            if host is not None and host not in named_before and (why := self._unfit(host, assign)):
                raise Violation("unfit", f"{name} #{seq} names {host}, which {why} at the basis")
        if why := self._crowds.no_room(assign):
            raise Violation("room", f"{name} #{seq} names {why}")
        self._assigned[name] = (seq, seq if assign.tenure is None else assign.tenure, assign)

    def _unfit(self, host: HostId, assign: MapAssign) -> str:
        """Why the host must not be chosen, as the log stood at the decision's basis; empty: it may."""
        life: HostUp | HostDown | None = None
        until_ms, draining, banned_ms = 0, False, 0
        for fact in self._said.get(host, ()):
            if fact.seq > assign.basis.hosts:
                break
            event = fact.event
            if isinstance(event, HostUp | HostDown):
                life = event
            elif isinstance(event, HostVerdict):
                until_ms = event.blacklisted_until_ms or 0
            elif isinstance(event, OpsDrain):
                draining = event.draining
            elif isinstance(event, OpsBan):
                banned_ms = event.until_ms or 2**53
        if not isinstance(life, HostUp):
            return "is down"
        if max(until_ms, banned_ms) > assign.at_ms:
            return "is blacklisted"
        if draining or life.draining:
            return "is draining"
        return "has failed this map" if assign.map in life.failed_maps else ""

    # Up and down never contradict each other, and nobody is called dead who was heard.

    def _check_life(self, event: HostUp | HostDown, by: str) -> None:
        before = next(
            (f.event for f in reversed(self._said.get(event.host, [])) if isinstance(f.event, HostUp | HostDown)), None
        )
        if not isinstance(event, HostDown):
            return
        self.counts[f"down {event.reason}"] += 1
        if not isinstance(before, HostUp):
            raise Violation("contradiction", f"{event.host} is down ({event.reason}) and was not up")
        if event.reason in ("silent", "lost"):
            self._check_death(event, by)

    def _check_death(self, event: HostDown, by: str) -> None:
        host, rules = self._hosts[event.host], self._settings
        process = next((process for process in self._processes if process.name == by), None)
        if process is None:
            return  # it was killed since; what it had heard is gone with it
        decided_us = (event.at_ms - process.offset_ms - START_MS) * MS
        heard = [each for each in process.heard_us.get(event.host, ()) if each[0] <= decided_us]
        heard_us, said_ms = max(heard, default=(0, 0))
        listened_us = max((at_us for at_us in process.listening_us if at_us <= decided_us), default=0)
        silence_ms = (decided_us - max(heard_us, listened_us)) // MS
        busy_ms, most_ms = rules.monitoring.heartbeat_busy_ms, rules.failover.silence_ms
        least_ms = busy_ms + int(0.75 * max(0, most_ms - busy_ms))  # of a host that was never late
        needed_ms = least_ms if event.reason == "silent" else rules.failover.suspicion_ms
        if event.reason == "lost" and host.touched_us >= (said_ms - host.offset_ms - START_MS) * MS:
            needed_ms = 0  # its connection and its link may both have ended since it said so
        if silence_ms + 1 < needed_ms:
            text = f"{by} calls {event.host} dead ({event.reason}) after {silence_ms} ms of silence, not {needed_ms}"
            raise Violation("false_death", text)
        if not host.running or host.paused:
            return
        self.counts["false deaths"] += 1
        longest_ms = rules.failover.silence_ms + rules.monitoring.heartbeat_idle_ms
        calm_us = self._clock.now_us - max(host.touched_us, process.touched_us)
        if calm_us > longest_ms * MS + 3 * SECOND:
            raise Violation("false_death", f"{event.host} is called {event.reason} by {by}, and no fault touched either")
