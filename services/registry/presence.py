"""What the registry hears of one host, and when it is dead (DESIGN D7). Pure.

Three signs: silence, the end of its newest connection to NATS, the end of the bridge's link to it. The two ends together: dead
at once. One of them and a short silence: dead. A long silence alone: dead; how long, the host's own past tells, within bounds
(Bertier, Marin and Sens 2002, with the worst lateness lately in place of the mean: heartbeats of players come in bursts).
"""

from dataclasses import dataclass, field
from typing import Literal

from libs.config import Settings
from libs.events import HostMetrics, HostOrder, MapName
from services.registry.speech import Speech

Death = Literal["silent", "lost"]

STEADY_SHARE = 0.75
"""Of the patience that the settings allow, for a host whose heartbeats were never late."""
PATIENCE_PER_LATENESS = 2.0
"""It may be twice as late as it was at worst lately."""
LATENESS_KEPT = 0.97
"""Of the worst lateness, at each heartbeat; half of it is forgotten after 23."""
TICKET_EVERY_MS = 1_000
"""A ticket that led to no link is used up, or its bridge was away."""
REFUSALS_MAX = 8
"""Of bundles, by one host; an operator with that many has other news of it."""
KNOWN_AFTER = 8
"""Heartbeats before a host is known to be steady."""


@dataclass(slots=True)
class Presence:
    """One host as heard. Times: the registry's clock, ms.

    interval_ms: the longest pause between heartbeats it may rightly make. lost_ms: since when the bridge's link to it is lost
    and nothing was heard. gone_ms: the same for its newest connection; gone_sure: it was the newest beyond doubt.
    scored: sequence of its host.up, slots in use, and its score then. ordered_since_ms: (map, tenure) -> since when it is
    ordered. notes: for its player. faults: what it was told of lately. ticket: of which
    key the last ticket was, and when it was given; None: it has a link since. refusals: of bundles, told already.
    """

    metrics: HostMetrics
    heard_ms: int
    interval_ms: int
    lost_ms: int | None = None
    gone_ms: int | None = None
    gone_sure: bool = False
    late_ms: float = 0.0
    beats: int = 0
    speech: Speech = field(default_factory=Speech)
    scored: tuple[int, int, float] | None = None
    order: HostOrder | None = None
    order_ms: int = 0
    ordered_since_ms: dict[tuple[MapName, int], int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    ticket: tuple[str, int] | None = None
    refusals: set[str] = field(default_factory=set)

    def hear(self, metrics: HostMetrics, now_ms: int) -> None:
        late_ms, kept_ms = now_ms - self.heard_ms - self.interval_ms, self.late_ms * LATENESS_KEPT
        self.late_ms = late_ms if late_ms > kept_ms else kept_ms
        self.beats += 1
        self.metrics = metrics
        self.live(now_ms)
        order = self.order
        if order is not None and order.interval_ms != self.interval_ms:
            # A faster beat is expected only of a host that shows it has read the order for it.
            self.interval_ms = order.interval_ms if self.obeys(order) else max(self.interval_ms, order.interval_ms)

    def live(self, now_ms: int) -> None:
        """It said something, whatever it was."""
        self.heard_ms = now_ms
        self.lost_ms = self.gone_ms = None

    def new_refusal(self) -> str | None:
        """Why it did not take a bundle, once. Who says ever other things is not listened to any more."""
        refusal = self.metrics.bundle_refused
        if not refusal or refusal in self.refusals or len(self.refusals) >= REFUSALS_MAX:
            return None
        self.refusals.add(refusal)
        return refusal

    def needs_ticket(self, now_ms: int) -> bool:
        """It says it has no link, and was given no ticket for this key lately."""
        link = self.metrics.link
        if link is None or link.linked:
            self.ticket = None
            return False
        return self.ticket is None or self.ticket[0] != link.key or now_ms - self.ticket[1] >= TICKET_EVERY_MS

    def obeys(self, order: HostOrder) -> bool:
        """What it reports to run is what it was ordered to run."""
        if not self.metrics.maps:
            return not order.maps
        reported = {name: report.tenure for name, report in self.metrics.maps.items()}
        return reported == {name: ordered.tenure for name, ordered in order.maps.items()}

    def death(self, known_ms: int, since_ms: int, settings: Settings) -> Death | None:
        """known_ms: until then we have heard all there was to hear. since_ms: from then on we have missed nothing."""
        if self._both_ended(since_ms):
            return "lost"
        heard_ms = max(self.heard_ms, since_ms)
        if known_ms - heard_ms >= self.silence_ms(settings):
            return "silent"
        deadline_ms = self._suspicion_deadline_ms(heard_ms, settings)
        return "lost" if deadline_ms is not None and known_ms >= deadline_ms else None

    def deadline_ms(self, since_ms: int, settings: Settings) -> int:
        """The earliest time at which `death` may say so, if nothing more is heard."""
        if self._both_ended(since_ms):
            return 0
        heard_ms = max(self.heard_ms, since_ms)
        silent_ms = heard_ms + self.silence_ms(settings)
        suspect_ms = self._suspicion_deadline_ms(heard_ms, settings)
        return silent_ms if suspect_ms is None else min(silent_ms, suspect_ms)

    @property
    def soonest_ms(self) -> int:
        """No deadline of it is earlier; cheaper to know than the deadline."""
        return 0 if self.is_suspect else self.heard_ms + self.interval_ms

    def is_fresh(self, now_ms: int, settings: Settings) -> bool:
        """It was heard lately, and nothing of it ended since: alive beyond doubt."""
        return not self.is_suspect and now_ms - self.heard_ms < self.silence_ms(settings)

    @property
    def is_suspect(self) -> bool:
        """Something of it ended, and it was not heard since."""
        return self.lost_ms is not None or self.gone_ms is not None

    def why_dead(self, death: Death, now_ms: int) -> str:
        """The signs, for the engineer on call."""
        ended = [
            word
            for word, ended_ms in (("its link to the bridge", self.lost_ms), ("its connection to NATS", self.gone_ms))
            if ended_ms is not None
        ]
        silence = f"nothing heard for {now_ms - self.heard_ms} ms"
        return silence if death == "silent" or not ended else f"{' and '.join(ended)} ended, {silence}"

    def silence_ms(self, settings: Settings) -> int:
        """The silence that means death: its interval, and the patience its own past asks for."""
        busy_ms = settings.monitoring.heartbeat_busy_ms
        most_ms = max(0, settings.failover.silence_ms - busy_ms)
        patience_ms = most_ms * STEADY_SHARE + self.late_ms * PATIENCE_PER_LATENESS
        if self.beats < KNOWN_AFTER or patience_ms > most_ms:
            patience_ms = most_ms
        return max(busy_ms, self.interval_ms) + int(patience_ms)

    def _both_ended(self, since_ms: int) -> bool:
        """After a gap of ours what was said before it proves nothing any more."""
        return self.lost_ms is not None and self.gone_ms is not None and max(self.lost_ms, self.gone_ms) > since_ms

    def _suspicion_deadline_ms(self, heard_ms: int, settings: Settings) -> int | None:
        """When one sign and a short silence are enough. A host that is still connected may take its time for a heartbeat."""
        suspicion_ms = settings.failover.suspicion_ms
        deadlines: list[int] = []
        if self.gone_ms is not None and (self.gone_sure or self.lost_ms is not None):
            deadlines.append(max(self.gone_ms, heard_ms) + suspicion_ms)
        if self.lost_ms is not None:
            patience_ms = max(suspicion_ms, self.interval_ms + int(self.late_ms * PATIENCE_PER_LATENESS))
            deadlines.append(max(self.lost_ms, heard_ms) + patience_ms)
        return min(deadlines, default=None)


def longest_silence_ms(settings: Settings) -> int:
    """The silence that means death of a host that beats as slowly as any."""
    return settings.failover.silence_ms + settings.monitoring.heartbeat_idle_ms - settings.monitoring.heartbeat_busy_ms
