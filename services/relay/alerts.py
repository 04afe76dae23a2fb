"""Who was refused when he dialled this relay: counted, logged, and told as ops.alert, seldom (docs/adr/0003)."""

import logging

from libs.events import NodeName, OpsAlert
from libs.link.seldom import Seldom
from libs.runtime.clock import Clock
from services.relay.onbus import OnBus
from services.relay.table import Counts

_LOG = logging.getLogger(__name__)


class Alerts:
    """relay: its name. told: whether the bus hears of it (monitoring.alert_on_failure)."""

    def __init__(self, bus: OnBus, relay: str, counts: Counts, clock: Clock, *, told: bool) -> None:
        self._bus, self._relay, self._counts, self._clock, self._told = bus, relay, counts, clock, told
        self._seldom = Seldom()

    def refused(self, host: str | None, why: str, detail: str) -> None:
        """host: where it is proven to concern him."""
        self._counts.dials_refused += 1
        _LOG.warning("a dial of %s is refused: %s: %s", host or "a stranger", why, detail)
        about, now_ms = host or self._relay, self._clock.now_ms()
        if self._told and self._bus.connected and self._seldom.may(about, now_ms):
            words = f"{why}: {detail}"[:1000]
            name = NodeName(self._bus.name)
            self._bus.say(OpsAlert(about=about, at_ms=now_ms, what="dial_refused", detail=words, by=name))
