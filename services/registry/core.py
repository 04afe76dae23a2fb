"""host.metrics -> host.up, host.down, host.order. Driven by the shell: heartbeats and facts in, effects out of `step`.

Every replica listens; the one that holds the lease speaks, and declares nobody down before it has itself listened for one
silence window without a gap (DESIGN D2, D7).
"""

import heapq
from collections.abc import Iterator
from typing import Literal

from libs.config import Settings
from libs.events import (
    Event,
    Fact,
    HostDown,
    HostId,
    HostLost,
    HostMetrics,
    HostUp,
    MapAssign,
    NodeName,
    OpsAlert,
    Reply,
    Stream,
)
from libs.events.hosts import DISCONNECTS_KEPT
from libs.hosting.effects import Append, Ask, Committed, Effect, Outcome, Refused, Say
from libs.hosting.eligibility import accepted_spec
from libs.hosting.world import Host, World
from services.registry.facts import is_material, unmet_of, up_fact
from services.registry.orders import Orders, failed_maps
from services.registry.presence import Death, MassDeathBrake, Presence, longest_silence_ms

HOSTS_MAX = 100_000
"""Hosts listened to at once; ten times the largest fleet planned for. More are not heard until others are forgotten."""
FORGET_MS = 3_600_000
"""A host that is down and was silent this long is forgotten; its facts stay in the log."""
RETRY_MS = 500
"""When to look again at a host whose down could not be written, or that is down already."""
IN_FLIGHT = -1
GAP_MS = 1_000
"""A registry that did not run for this long was paused: it listens anew before it calls anyone dead."""

DownReason = Literal["silent", "lost", "left", "unfit", "blacklisted", "drained"]


class Registry:
    """A `Core` (libs/hosting/effects.py)."""

    def __init__(self, settings: Settings, *, name: NodeName, started_ms: int) -> None:
        self.world = World()
        self._settings, self._name = settings, name
        self._history_from_ms = 0 if settings.general.persistent_hosts else started_ms
        self._presences: dict[HostId, Presence] = {}
        self._dirty: set[HostId] = set()
        self._writing: dict[HostId, int] = {}
        self._heap: list[tuple[int, HostId]] = []
        self._deadlines: dict[HostId, int] = {}
        self._brake = MassDeathBrake()
        self._orders = Orders(settings, self.world)
        self._lease = 0
        self._listening_since_ms: int | None = None
        self._last_step_ms = started_ms
        self._caught_up = False
        self._up = 0

    @property
    def active(self) -> bool:
        return self._lease > 0 and self._caught_up

    def on_lease(self, number: int, now_ms: int) -> None:  # noqa: ARG002 - the shape of every input
        """number: of the lease this replica holds now, 0 for none."""
        if number and number != self._lease:
            self._look_at_all()
        self._lease = number

    def on_gap(self, now_ms: int) -> None:
        """Heartbeats may have been missed (paused, disconnected): listen anew before calling anyone dead."""
        self._listening_since_ms = now_ms

    def on_caught_up(self, now_ms: int) -> None:
        self._caught_up = True
        self._listening_since_ms = now_ms
        self._look_at_all()

    def on_fact(self, fact: Fact, now_ms: int) -> None:  # noqa: ARG002
        if fact.stream is Stream.ASSIGNMENTS and isinstance(fact.event, MapAssign):
            before = self.world.map(fact.event.map).assign
            self.world.apply(fact)
            for assign in (before, fact.event):
                if assign is not None and assign.host is not None:
                    self._dirty.update((assign.host, *assign.backups))
            return
        host = getattr(fact.event, "host", None)
        was_up = host is not None and self.world.host(host).is_up
        self.world.apply(fact)
        if host is not None:
            self._up += self.world.host(host).is_up - was_up
            self._dirty.add(host)

    def on_heard(self, event: Event, now_ms: int) -> None:
        if isinstance(event, HostMetrics):
            if (presence := self._presences.get(event.host)) is None:
                if len(self._presences) >= HOSTS_MAX:
                    return
                presence = self._presences[event.host] = Presence(event, now_ms, self._settings.monitoring.heartbeat_idle_ms)
            presence.hear(event, now_ms)
            self._watch(event.host)
            self._dirty.add(event.host)
        elif isinstance(event, HostLost) and (known := self._presences.get(event.host)) is not None:
            known.lost_ms = now_ms
            self._watch(event.host)

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        """The registry asks nobody yet."""

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:  # noqa: ARG002
        if (host := getattr(write.event, "host", None)) is not None:
            self._writing.pop(host, None)
            if isinstance(outcome, Committed | Refused):
                self._writing[host] = outcome.seq if isinstance(outcome, Committed) else outcome.last
            self._dirty.add(host)

    def step(self, now_ms: int) -> list[Effect]:
        if now_ms - self._last_step_ms >= GAP_MS:
            self.on_gap(now_ms)
        self._last_step_ms = now_ms
        if not self.active:
            return []
        return [*self._deaths(now_ms), *self._judge_dirty(now_ms)]

    def _look_at_all(self) -> None:
        self._dirty.update(self._presences)
        for host in {*self._presences, *(host.id for host in self.world.hosts.values() if host.is_up)}:
            self._watch(host)

    def _judge_dirty(self, now_ms: int) -> Iterator[Effect]:
        dirty, self._dirty = self._dirty, set()
        for host_id in sorted(dirty):
            if (presence := self._presences.get(host_id)) is None:
                continue
            if self._death(host_id, now_ms) is None:
                yield from self._judge(self.world.host(host_id), presence, now_ms)
                yield from self._orders.due(presence, self._lease, now_ms)

    def _judge(self, host: Host, presence: Presence, now_ms: int) -> Iterator[Effect]:
        """A host that is alive: up, up again, or down for a reason other than death."""
        if not self._may_write(host.id):
            return
        metrics, settings = presence.metrics, self._settings
        disconnects_ms = self._disconnects(host)
        unmet = unmet_of(host, accepted_spec(metrics, settings.host_requirements), disconnects_ms, now_ms, settings)
        presence.notes = [str(item) for item in unmet]
        if metrics.leaving:
            yield from self._down(host, "left", "the agent said goodbye", now_ms)
        elif host.excluded(now_ms):
            presence.notes.append("excluded by a verdict or a ban")
            yield from self._down(host, "blacklisted", "excluded by a verdict or a ban", now_ms)
        elif unmet:
            yield from self._down(host, "unfit", "; ".join(map(str, unmet))[:1000], now_ms)
        elif host.drain is not None and host.drain.draining and not self._holds_maps(host.id):
            presence.notes.append("drained by the operator")
            yield from self._down(host, "drained", "drained: it serves no map any more", now_ms)
        else:
            failed = failed_maps(presence, now_ms, settings)
            fact = up_fact(host, metrics, disconnects_ms, self._trust(host), failed, now_ms, settings)
            if not host.is_up and not presence.is_fresh(now_ms, settings):
                return  # the benefit of the doubt after a gap keeps a host up, it brings none back
            if not host.is_up or host.up is None or is_material(host.up, fact, settings):
                yield self._write(fact, host)

    def _deaths(self, now_ms: int) -> Iterator[Effect]:
        """Hosts whose time is up and that are dead indeed."""
        dying: list[tuple[Host, Death]] = []
        while self._heap and self._heap[0][0] <= now_ms:
            deadline_ms, host_id = heapq.heappop(self._heap)
            if self._deadlines.get(host_id) != deadline_ms:
                continue
            del self._deadlines[host_id]
            host, death = self.world.host(host_id), self._death(host_id, now_ms)
            if death is not None and host.is_up and self._may_write(host_id):
                dying.append((host, death))
            else:
                self._forget_or_watch(host, now_ms)
        if not dying:
            return
        held_before_ms = self._brake.held_until_ms
        if self._brake.holds(len(dying), self._up, now_ms, self._settings):
            for host, _ in dying:
                self._watch(host.id, at_least_ms=self._brake.held_until_ms)
            if self._brake.held_until_ms != held_before_ms:
                yield from self._alert(self._name, "mass_death", f"{len(dying)} of {self._up} hosts seem dead at once", now_ms)
            return
        for host, death in dying:
            yield from self._down(host, death, f"nothing heard for {now_ms - self._heard_ms(host.id)} ms", now_ms)
            self._watch(host.id, at_least_ms=now_ms + RETRY_MS)

    def _down(self, host: Host, reason: DownReason, detail: str, now_ms: int) -> Iterator[Effect]:
        if not host.is_up or not self._may_write(host.id):
            return
        disconnects_ms = self._disconnects(host)
        if reason in ("silent", "lost"):
            disconnects_ms = [*disconnects_ms, now_ms][-DISCONNECTS_KEPT:]
        fact = HostDown(host=host.id, at_ms=now_ms, reason=reason, detail=detail, disconnects_ms=disconnects_ms)
        yield self._write(fact, host)
        if reason in ("silent", "lost", "blacklisted"):
            yield from self._alert(host.id, "host_down", f"{reason}: {detail}", now_ms)

    def _alert(self, about: str, what: str, detail: str, now_ms: int) -> Iterator[Effect]:
        if self._settings.monitoring.alert_on_failure:
            yield Say(OpsAlert(about=about, at_ms=now_ms, what=what, detail=detail, by=self._name))

    def _write(self, fact: HostUp | HostDown, host: Host) -> Append:
        self._writing[host.id] = IN_FLIGHT
        return Append(fact, host.fact_seq, scope=f"host.*.{host.id}")

    def _may_write(self, host_id: HostId) -> bool:
        """One write of a host at a time, and the next only after its own follower has passed the last."""
        if (seq := self._writing.get(host_id)) is None:
            return True
        if seq == IN_FLIGHT or self.world.hosts_seq < seq:
            return False
        del self._writing[host_id]
        return True

    def _death(self, host_id: HostId, now_ms: int) -> Death | None:
        """Dead by what this replica itself has listened to without a gap."""
        since_ms = self._listening_since_ms if self._listening_since_ms is not None else now_ms
        if (presence := self._presences.get(host_id)) is None:
            return "silent" if now_ms - since_ms >= longest_silence_ms(self._settings) else None
        return presence.death(now_ms, since_ms, self._settings)

    def _heard_ms(self, host_id: HostId) -> int:
        presence = self._presences.get(host_id)
        return presence.heard_ms if presence else self._listening_since_ms or 0

    def _watch(self, host_id: HostId, at_least_ms: int = 0) -> None:
        """Look at this host again when it may have died; the earliest such time counts."""
        since_ms = self._listening_since_ms or 0
        presence = self._presences.get(host_id)
        when_ms = presence.deadline_ms(since_ms, self._settings) if presence else since_ms + longest_silence_ms(self._settings)
        when_ms = max(when_ms, at_least_ms)
        if when_ms < self._deadlines.get(host_id, when_ms + 1):
            self._deadlines[host_id] = when_ms
            heapq.heappush(self._heap, (when_ms, host_id))

    def _forget_or_watch(self, host: Host, now_ms: int) -> None:
        if not host.is_up and now_ms - self._heard_ms(host.id) >= FORGET_MS:
            self._presences.pop(host.id, None)
        else:
            self._watch(host.id, at_least_ms=now_ms + (1 if host.is_up else RETRY_MS))

    def _holds_maps(self, host_id: HostId) -> bool:
        return bool(self.world.serving.get(host_id)) or bool(self.world.backing.get(host_id))

    def _disconnects(self, host: Host) -> list[int]:
        return [at_ms for at_ms in host.disconnects_ms if at_ms >= self._history_from_ms]

    def _trust(self, host: Host) -> float:
        return host.verdict.trust if host.verdict is not None and host.verdict.at_ms >= self._history_from_ms else 0.0
