"""host.metrics -> host.up, host.down, host.order. Driven by the shell: heartbeats and facts in, effects out of `step`.

Every replica listens; the one that holds the lease speaks, and declares nobody down before it has itself listened for one
silence window without a gap (DESIGN D2, D7).
"""

from collections.abc import Iterator

from libs.config import Settings
from libs.events import (
    Event,
    Fact,
    HostCheck,
    HostDown,
    HostId,
    HostLost,
    HostMetrics,
    HostRtt,
    HostUp,
    MapAssign,
    NodeName,
    OpsAlert,
    OpsEnroll,
    PlayersOnlineReply,
    Reply,
    Stream,
)
from libs.hosting.effects import Append, Ask, Effect, Outcome, Probe, Say
from libs.hosting.world import Host, World
from services.registry.brake import MassDeathBrake
from services.registry.calm import Calm
from services.registry.connections import Connection, Connections, Told
from services.registry.judging import Judging
from services.registry.observed import ECHO_TIMEOUT_MS, Observed
from services.registry.orders import Orders, Tickets
from services.registry.playing import ONLINE_TIMEOUT_MS, Playing
from services.registry.presence import Death, Presence
from services.registry.speech import Heard, beats_per_s
from services.registry.watch import Watch
from services.registry.writes import Writes

HOSTS_MAX = 100_000
"""Hosts listened to at once; ten times the largest fleet planned for. More are not heard until others are forgotten."""
FORGET_MS = 3_600_000
"""A host that is down and was silent this long is forgotten; its facts stay in the log."""
RETRY_MS = 500
"""When to look again at a host whose last write has not settled; at one that is down, when it is up or may be forgotten."""
GAP_MS = 1_000
"""A registry that did not run for this long was paused: it listens anew before it calls anyone dead."""
ALERTED = ("silent", "lost", "blacklisted")
"""Why a host is down, where an operator wants to know."""


class Registry:
    """A `Core` (libs/hosting/effects.py). tickets: None where there is no bridge for hosts to link to."""

    def __init__(self, settings: Settings, *, name: NodeName, started_ms: int, tickets: Tickets | None = None) -> None:
        self.world = World()
        self._settings, self._name = settings, name
        self._beats_per_s = beats_per_s(settings)
        self._presences: dict[HostId, Presence] = {}
        self._dirty: set[HostId] = set()
        self._calm: dict[HostId, Calm | None] = {}
        self._watch = Watch(settings, self._presences)
        self._writes = Writes(self.world)
        self._observed = Observed()
        self._playing = Playing(settings.general.hosts_must_play)
        history_from_ms = 0 if settings.general.persistent_hosts else started_ms
        self._connections = Connections()
        self._judging = Judging(settings, history_from_ms, self._observed, self._playing, self._connections)
        self._brake = MassDeathBrake()
        self._orders = Orders(settings, self.world, tickets)
        self._lease = 0
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
        self._watch.listen_anew(now_ms)
        self._connections.forget_all()
        self._playing.on_gap(now_ms)

    def on_caught_up(self, now_ms: int) -> None:
        self._caught_up = True
        self._playing.begin(now_ms)
        self._watch.listen_anew(now_ms)
        self._look_at_all()

    def on_fact(self, fact: Fact, now_ms: int) -> None:
        if fact.stream is Stream.MAPS:  # judged at the door
            self._dirty.update(self._playing.on_movement(fact.event, now_ms))
            return
        if fact.stream is Stream.ASSIGNMENTS and isinstance(fact.event, MapAssign):
            before = self.world.map(fact.event.map).assign
            self.world.apply(fact)
            for assign in (before, fact.event):
                if assign is not None and assign.host is not None:
                    self._dirty.update((assign.host, *assign.backups))
            return
        if isinstance(fact.event, OpsEnroll):
            self._connections.bind(fact.event.host, fact.event.key)
        host = getattr(fact.event, "host", None)
        was_up = host is not None and self.world.host(host).is_up
        self.world.apply(fact)
        if host is not None:
            is_up = self.world.host(host).is_up
            self._up += is_up - was_up
            self._dirty.add(host)
            if is_up and not was_up:
                self._watch.look_at(host)

    def on_heard(self, event: Event, now_ms: int) -> None:
        if isinstance(event, HostMetrics):
            self._on_metrics(event, now_ms)
        elif isinstance(event, HostLost) and (presence := self._presences.get(event.host)) is not None:
            presence.lost_ms = now_ms
            self._watch.look_at(event.host)
        elif isinstance(event, HostRtt) and self._observed.on_rtt(event, now_ms):
            self._dirty.add(event.host)

    def _on_metrics(self, metrics: HostMetrics, now_ms: int) -> None:
        """Of a calm host that goes on: it is heard, and that is all."""
        host = metrics.host
        calm = self._calm.get(host)
        presence = self._presences[host] if calm is not None and calm.holds(metrics, now_ms) else None
        if presence is None or not presence.speech.goes_on(metrics, now_ms, self._beats_per_s):
            self._consider(metrics, now_ms)
            return
        interval_ms = presence.interval_ms
        presence.hear(metrics, now_ms)
        if presence.interval_ms != interval_ms:
            self._watch.look_at(host)

    def _consider(self, metrics: HostMetrics, now_ms: int) -> None:
        """Any other."""
        host = metrics.host
        if (presence := self._presences.get(host)) is None:
            if len(self._presences) >= HOSTS_MAX:
                return
            presence = self._presences[host] = Presence(metrics, now_ms, self._settings.monitoring.heartbeat_idle_ms)
            self._observed.meet(host, now_ms)
        speech = presence.speech
        odd = speech.odd(now_ms)
        heard = speech.take(metrics, self._connections.count(host), now_ms, self._beats_per_s)
        if heard is Heard.COUNTS:
            presence.hear(metrics, now_ms)
            self._playing.bind(host, metrics.account_id, now_ms)
        elif heard is Heard.LOUD:
            presence.live(now_ms)
        if heard is Heard.COUNTS or speech.odd(now_ms) != odd:
            self._dirty.add(host)
        self._watch.look_at(host)

    def on_connection(self, connection: Connection, now_ms: int) -> None:
        """A connection to NATS that came or ended, whosever it is."""
        if (host := self._connections.host_of(connection)) is None:
            return
        told = self._connections.on(host, connection)
        if (presence := self._presences.get(host)) is None or told is Told.OLD:
            return
        if told is Told.CAME:
            presence.gone_ms = None
            self._dirty.add(host)
        else:
            presence.gone_ms, presence.gone_sure = now_ms, told is Told.GONE
            presence.speech.went(self._connections.count(host))
        self._watch.look_at(host)

    def on_probed(self, probe: Probe, answered: bool, now_ms: int) -> None:  # noqa: ARG002
        """The bus answers, or not: are those who seem dead dead, or are we deaf?"""
        self._observed.on_own(self._watch.on_probed(answered, now_ms), now_ms)

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        if isinstance(ask.request, HostCheck):
            host, presence = ask.request.host, self._presences.get(ask.request.host)
            claimed_ms = presence.metrics.latency_ms if presence is not None else None
            worst_ms = self._settings.host_requirements.net_max_latency
            if self._observed.on_echo(ask.request, reply is not None, worst_ms if claimed_ms is None else claimed_ms, now_ms):
                self._dirty.add(host)
        else:
            self._dirty.update(self._playing.on_online(reply if isinstance(reply, PlayersOnlineReply) else None, now_ms))

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:  # noqa: ARG002
        if (host := getattr(write.event, "host", None)) is not None:
            self._writes.settled(host, outcome)
            self._dirty.add(host)

    def step(self, now_ms: int) -> list[Effect]:
        if now_ms - self._last_step_ms >= GAP_MS:
            self.on_gap(now_ms)
        self._last_step_ms = now_ms
        if not self.active:
            return list(self._asks(now_ms))
        return [*self._deaths(now_ms), *self._judge_dirty(now_ms), *self._asks(now_ms)]

    def _asks(self, now_ms: int) -> Iterator[Effect]:
        """Every replica finds out for itself: who takes over knows already."""
        if (probe := self._watch.probe(now_ms, wanted=self._observed.curious)) is not None:
            yield probe
        if self._caught_up:
            for check in self._observed.echoes(now_ms):
                yield Ask(check, ECHO_TIMEOUT_MS)
            if (question := self._playing.question(now_ms)) is not None:
                yield Ask(question, ONLINE_TIMEOUT_MS)

    def _look_at_all(self) -> None:
        self._dirty.update(self._presences)
        for host in {*self._presences, *(host.id for host in self.world.hosts.values() if host.is_up)}:
            self._watch.look_at(host)

    def _judge_dirty(self, now_ms: int) -> Iterator[Effect]:
        dirty, self._dirty = self._dirty, set()
        for host_id in sorted(dirty):
            if (presence := self._presences.get(host_id)) is None:
                continue
            if not self._watch.seems_dead(host_id, now_ms):
                yield from self._judge(self.world.host(host_id), presence, now_ms)
            else:
                self._calm[host_id] = None

    def _judge(self, host: Host, presence: Presence, now_ms: int) -> Iterator[Effect]:
        if (refusal := presence.new_refusal()) is not None:
            yield from self._alert(host.id, "bundle_refused", refusal, now_ms)
        fact, may_write, ordered = None, self._writes.may_write(host.id), presence.ordered_since_ms
        if may_write:
            before = presence.faults
            fact = self._judging.judge(host, presence, self._holds_maps(host.id), now_ms)
            yield from self._say(host, fact, now_ms)
            for word in sorted(presence.faults.keys() - before.keys()):
                yield from self._alert(host.id, word, presence.faults[word], now_ms)
        yield from self._orders.due(presence, self._lease, now_ms)
        steady = may_write and fact is None and not presence.notes and presence.ordered_since_ms.keys() == ordered.keys()
        self._calm[host.id] = self._judging.calm(host, presence, now_ms) if steady else None

    def _deaths(self, now_ms: int) -> Iterator[Effect]:
        """Hosts whose time is up and that are dead indeed."""
        dying: list[tuple[Host, Death]] = []
        for host_id in self._watch.due(now_ms):
            host, death = self.world.host(host_id), self._watch.death(host_id, now_ms)
            if not host.is_up or not self._writes.may_write(host_id):
                self._forget_or_watch(host, now_ms)
            elif death is not None:
                dying.append((host, death))
            elif self._watch.seems_dead(host_id, now_ms):
                self._watch.doubt(host_id)
            else:
                self._forget_or_watch(host, now_ms)
        if dying:
            yield from self._bury(dying, now_ms)

    def _bury(self, dying: list[tuple[Host, Death]], now_ms: int) -> Iterator[Effect]:
        """Unless they are too many."""
        held_before_ms = self._brake.held_until_ms
        if self._brake.holds([host.id for host, _ in dying], self._up, now_ms, self._settings):
            for host, _ in dying:
                self._watch.look_at(host.id, at_least_ms=self._brake.held_until_ms)
            if self._brake.held_until_ms != held_before_ms:
                yield from self._alert(self._name, "mass_death", f"{len(dying)} of {self._up} hosts seem dead at once", now_ms)
            return
        for host, death in dying:
            detail = self._watch.describe(host.id, death, now_ms)
            yield from self._say(host, self._judging.down(host, death, detail, now_ms), now_ms)
            self._watch.look_at(host.id, at_least_ms=now_ms + RETRY_MS)

    def _say(self, host: Host, fact: HostUp | HostDown | None, now_ms: int) -> Iterator[Effect]:
        if fact is not None:
            yield self._writes.write(fact, host)
        if isinstance(fact, HostDown) and fact.reason in ALERTED:
            yield from self._alert(host.id, "host_down", f"{fact.reason}: {fact.detail}", now_ms)

    def _alert(self, about: str, what: str, detail: str, now_ms: int) -> Iterator[Effect]:
        if self._settings.monitoring.alert_on_failure:
            yield Say(OpsAlert(about=about, at_ms=now_ms, what=what, detail=detail, by=self._name))

    def _forget_or_watch(self, host: Host, now_ms: int) -> None:
        if not host.is_up and now_ms - self._watch.heard_ms(host.id) >= FORGET_MS:
            self._presences.pop(host.id, None)
            self._calm.pop(host.id, None)
            self._observed.forget(host.id)
            self._playing.unbind(host.id)
        elif host.is_up:
            self._watch.look_at(host.id, at_least_ms=now_ms + 1)
        elif not self._writes.may_write(host.id):
            self._watch.look_at(host.id, at_least_ms=now_ms + RETRY_MS)
        else:
            self._watch.look_at(host.id, at_least_ms=self._watch.heard_ms(host.id) + FORGET_MS)

    def _holds_maps(self, host_id: HostId) -> bool:
        return bool(self.world.serving.get(host_id)) or bool(self.world.backing.get(host_id))
