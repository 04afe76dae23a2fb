"""What a host that is alive is: up, up with something new, or down for a reason other than death. Pure."""

from dataclasses import dataclass
from typing import Literal

from libs.config import Settings
from libs.events import HostDown, HostSpec, HostUp
from libs.events.hosts import DISCONNECTS_KEPT
from libs.hosting.eligibility import accepted_spec, wrong_bundle
from libs.hosting.world import Host
from services.registry.calm import Calm, calm_of
from services.registry.connections import Connections
from services.registry.facts import is_material, unmet_of, up_fact
from services.registry.observed import Observed
from services.registry.orders import failed_maps
from services.registry.playing import Playing
from services.registry.presence import Presence

DownReason = Literal["silent", "lost", "left", "unfit", "blacklisted", "drained"]
DEATHS = ("silent", "lost")
"""What counts as a disconnect."""
KEEP_OUT = ("account", "removed")
"""Faults with which no host is up; flooding is tolerated for a while first."""


@dataclass(frozen=True, slots=True)
class Judging:
    """history_from_ms: what was before does not count (`general.persistent_hosts`)."""

    settings: Settings
    history_from_ms: int
    observed: Observed
    playing: Playing
    connections: Connections

    def judge(self, host: Host, presence: Presence, holds_maps: bool, now_ms: int) -> HostUp | HostDown | None:
        """What is to be said of it now, if anything; and `presence.notes`, why it is not up.

        holds_maps: it serves or backs some."""
        metrics, settings = presence.metrics, self.settings
        disconnects_ms = self._disconnects(host)
        spec = self.spec(presence, now_ms)
        unmet = unmet_of(host, spec, disconnects_ms, now_ms, settings)
        presence.faults = self._faults(host, presence, now_ms)
        presence.notes = [*presence.faults.values(), *map(str, unmet)]
        if metrics.leaving:
            return self.down(host, "left", "the agent said goodbye", now_ms)
        if host.excluded(now_ms):
            presence.notes.append("excluded by a verdict or a ban")
            return self.down(host, "blacklisted", "excluded by a verdict or a ban", now_ms)
        if unmet or presence.speech.is_out(now_ms) or not presence.faults.keys().isdisjoint(KEEP_OUT):
            return self.down(host, "unfit", "; ".join(presence.notes)[:1000], now_ms)
        if (why := self._draining(host, metrics.bundle, now_ms)) is not None:
            presence.notes.append(why)
            if not holds_maps or not host.is_up:
                return self.down(host, "drained", f"{why}: it serves no map any more", now_ms)
        if not host.is_up and not presence.is_fresh(now_ms, settings):
            return None  # the benefit of the doubt after a gap keeps a host up, it brings none back
        failed = failed_maps(presence, now_ms, settings)
        trust, draining = self._trust(host), why is not None
        came_from = self.connections.network(host.id)
        fact = up_fact(host, metrics, spec, disconnects_ms, trust, failed, draining, now_ms, settings, came_from)
        if not host.is_up or host.up is None or is_material(host.up, fact, settings):
            return fact
        return None

    def spec(self, presence: Presence, now_ms: int) -> HostSpec:
        """As accepted: the worst allowed where nothing was measured, what was observed where that is worse than claimed."""
        metrics = presence.metrics
        return self.observed.spec(metrics.host, accepted_spec(metrics, self.settings.host_requirements), now_ms)

    def calm(self, host: Host, presence: Presence, now_ms: int) -> Calm | None:
        """Of a host of which nothing was to be said now."""
        spec, until_ms = self.spec(presence, now_ms), self.playing.until_ms(host.id, now_ms)
        return calm_of(host, presence, spec, until_ms=until_ms, now_ms=now_ms, settings=self.settings)

    def down(self, host: Host, reason: DownReason, detail: str, now_ms: int) -> HostDown | None:
        """None where it is down already."""
        if not host.is_up:
            return None
        disconnects_ms = self._disconnects(host)
        if reason in DEATHS:
            disconnects_ms = [*disconnects_ms, now_ms][-DISCONNECTS_KEPT:]
        return HostDown(host=host.id, at_ms=now_ms, reason=reason, detail=detail, disconnects_ms=disconnects_ms)

    def _faults(self, host: Host, presence: Presence, now_ms: int) -> dict[str, str]:
        """What is wrong with it beside what it measures: a word for each, and what to tell its player."""
        faults = presence.speech.faults(now_ms, self.settings)
        if host.enrolled is not None and host.enrolled.key is None:
            faults["removed"] = "this host was removed by the operator"
        elif host.enrolled is not None and host.enrolled.account_id != presence.metrics.account_id:
            said, bound = presence.metrics.account_id, host.enrolled.account_id
            faults["account"] = f"this host is enrolled for account {bound} and says it is account {said}'s"
        return faults

    def _draining(self, host: Host, bundle: str | None, now_ms: int) -> str | None:
        """Why its maps are to move away in order; None: they stay. An agent changes its bundle when it serves none."""
        if host.drain is not None and host.drain.draining:
            return "drained by the operator"
        if (wrong := wrong_bundle(bundle, self.settings.general)) is not None:
            return wrong
        standing = self.playing.standing(host.id, now_ms)
        if standing == "gone" or (standing == "away" and not host.is_up):
            return "its account is not in the game"
        return None

    def _disconnects(self, host: Host) -> list[int]:
        return [at_ms for at_ms in host.disconnects_ms if at_ms >= self.history_from_ms]

    def _trust(self, host: Host) -> float:
        return host.verdict.trust if host.verdict is not None and host.verdict.at_ms >= self.history_from_ms else 0.0
