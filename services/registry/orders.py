"""host.order: what a host shall run now, whole and repeated until it shows that it obeys. Pure."""

from collections.abc import Callable, Iterator

import msgspec

from libs.config import Settings
from libs.events import HostId, HostOrder, Link, MapName, OrderedMap, Region
from libs.events.orders import Heard
from libs.hosting.effects import Say
from libs.hosting.score import PPM, score_ppm
from libs.hosting.world import Host, World
from services.registry.presence import Presence

REPEAT_UNOBEYED_MS = 1_000
REPEAT_MS = 10_000
"""An order may get lost (core NATS): it is said again this often."""
SCORE_MOVED = 0.05


Tickets = Callable[[HostId, str, int], Link]
"""(host, key of its agent, now_ms) -> where to link to, with a fresh ticket."""


class Orders:
    """tickets: None where there is no bridge to link to."""

    def __init__(self, settings: Settings, world: World, tickets: Tickets | None = None) -> None:
        self._settings, self._world, self._tickets = settings, world, tickets
        self._regions = {Region(name): address for name, address in settings.regions.items()}

    def due(self, presence: Presence, lease: int, now_ms: int) -> Iterator[Say]:
        """The order for this host, if it is new, not obeyed, or long ago."""
        order = self._order(presence, lease, now_ms)
        last, age_ms = presence.order, now_ms - presence.order_ms
        unlinked = presence.needs_ticket(now_ms) and self._tickets is not None and bool(order.maps)
        same = last is not None and _same(last, order) and last.lease == lease
        if same and age_ms < repeat_ms(presence) and not unlinked:
            return
        presence.order, presence.order_ms = order, now_ms
        presence.interval_ms = max(presence.interval_ms, order.interval_ms)
        ordered = {(name, item.tenure) for name, item in order.maps.items()}
        presence.ordered_since_ms = {key: presence.ordered_since_ms.get(key, now_ms) for key in ordered}
        yield Say(self._with_ticket(order, presence, now_ms))

    def _with_ticket(self, order: HostOrder, presence: Presence, now_ms: int) -> HostOrder:
        """An agent that has maps and no link gets a new one with each order: an order may be lost, and a ticket counts once."""
        link = presence.metrics.link
        if self._tickets is None or not order.maps or link is None or link.linked:
            return order
        presence.ticket = link.key, now_ms
        return msgspec.structs.replace(order, link=self._tickets(order.host, link.key, now_ms))

    def _order(self, presence: Presence, lease: int, now_ms: int) -> HostOrder:
        host = self._world.host(presence.metrics.host)
        maps = self._maps(host.id) if host.is_up else {}
        monitoring = self._settings.monitoring
        return HostOrder(
            host=host.id,
            at_ms=now_ms,
            as_of=self._world.assignments_seq,
            lease=lease,
            interval_ms=monitoring.heartbeat_busy_ms if maps else monitoring.heartbeat_idle_ms,
            maps=maps,
            score=self._score(host, presence),
            notes=presence.notes[:32],
            regions=self._regions,
            slots=host.up.slots if host.is_up and host.up is not None else None,
            heard=Heard(seq=presence.metrics.seq, at_ms=presence.metrics.at_ms),
        )

    def _score(self, host: Host, presence: Presence) -> float | None:
        """Kept while what it is made of is the same: it is asked for at every heartbeat."""
        if not host.is_up or host.up is None:
            return None
        used = self._world.used_slots(host.id, self._settings.failover.warm_backups)
        if presence.scored is None or presence.scored[:2] != (host.up_seq, used):
            presence.scored = (host.up_seq, used, score_ppm(host.up, {}, used, self._settings) / PPM)
        return presence.scored[2]

    def _maps(self, host: HostId) -> dict[MapName, OrderedMap]:
        maps = {
            name: OrderedMap(tenure=self._world.map(name).tenure, role="primary")
            for name in sorted(self._world.serving.get(host, ()))
        }
        for name, rank in sorted(self._world.backing.get(host, {}).items()):
            if rank < self._settings.failover.warm_backups:
                maps[name] = OrderedMap(tenure=self._world.map(name).tenure, role="backup")
        return maps


def repeat_ms(presence: Presence) -> int:
    """How long after the last order it is said again."""
    order = presence.order
    return REPEAT_MS if order is not None and presence.obeys(order) and presence.ticket is None else REPEAT_UNOBEYED_MS


def start_deadlines_ms(presence: Presence, settings: Settings) -> list[int]:
    """When each ordered map has to be ready."""
    return [since_ms + settings.failover.start_timeout * 1000 for since_ms in presence.ordered_since_ms.values()]


def failed_maps(presence: Presence, now_ms: int, settings: Settings) -> set[MapName]:
    """Maps whose server failed here, or was not ready start_timeout after it was ordered."""
    reports = presence.metrics.maps
    failed = {name for name, report in reports.items() if report.state == "failed"}
    for (name, tenure), since_ms in presence.ordered_since_ms.items():
        report = reports.get(name)
        is_ready = report is not None and report.tenure == tenure and report.state in ("ready", "draining")
        if not is_ready and now_ms - since_ms >= settings.failover.start_timeout * 1000:
            failed.add(name)
    return failed


def _same(one: HostOrder, other: HostOrder) -> bool:
    plain = all(getattr(one, name) == getattr(other, name) for name in ("maps", "interval_ms", "notes", "slots"))
    return plain and abs((one.score or 0.0) - (other.score or 0.0)) <= SCORE_MOVED
