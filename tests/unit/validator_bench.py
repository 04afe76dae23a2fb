"""A validator driven as a shell drives it, by a hand-wound clock; for the tests of services/validator."""

from itertools import count
from typing import Any

from libs.config import Settings
from libs.events import Event, HostCheckReply, HostId, HostMetrics, HostVerdict, NodeName, Region
from libs.events.proof import proof_of
from libs.hosting.effects import Append, Ask, Committed, Effect, Outcome, Say
from services.validator.core import FIRST_OFFSET_MS, Validator
from tests.unit.builders import T0, Log, rules

INTERVAL_MS = 10_000
NEXT_MS = INTERVAL_MS + INTERVAL_MS // 10 + FIRST_OFFSET_MS
"""By then every replica's next check is due."""
SECURITY = {"check_interval_s": INTERVAL_MS // 1000, "strikes_max": 3, "blacklist_s": 60, "blacklist_factor": 2.0}


class Bench:
    """A validator, its log and its clock."""

    def __init__(self, name: str = "validator-1", log: Log | None = None, **security: Any) -> None:
        self.settings: Settings = rules(security={**SECURITY, **security})
        numbers = count()
        self.validator = Validator(self.settings, name=NodeName(name), nonce=lambda: f"{next(numbers):016x}")
        self.now_ms = T0
        self.log = log or Log(lambda fact: self.validator.on_fact(fact, self.now_ms))
        self.said: list[Event] = []
        self.open: list[Ask] = []
        self.unsettled: list[Append] = []
        self.validator.on_caught_up(T0)
        self.beat()

    def beat(self, host: str = "h1", leaving: bool = False) -> None:
        self.validator.on_heard(metrics(host, leaving), self.now_ms)

    def ask(self) -> list[Ask]:
        """What it asks now."""
        self._perform(self.validator.step(self.now_ms))
        asks, self.open = self.open, []
        return asks

    def check(self, proof: str | None = "right") -> Ask:
        """The next check, due by now or in an interval, answered: right, wrong, or not at all (None)."""
        self.now_ms += NEXT_MS
        self.beat()
        (ask,) = self.ask()
        self.answer(ask, proof)
        return ask

    def answer(self, ask: Ask, proof: str | None = "right") -> None:
        reply = None if proof is None else HostCheckReply(proof=proof_of(ask.request) if proof == "right" else proof)
        self.now_ms += 20
        if proof is None:
            self.beat()  # it lives, and does not answer
        self.validator.on_reply(ask, reply, self.now_ms)
        self._perform(self.validator.step(self.now_ms))
        for write in self.unsettled:
            self.settle(write)
        self.unsettled.clear()

    def settle(self, write: Append, outcome: Outcome | None = None) -> None:
        outcome = outcome or Committed(self.log.say(write.event).seq)
        self.validator.on_settled(write, outcome, self.now_ms)
        self._perform(self.validator.step(self.now_ms))

    @property
    def verdict(self) -> HostVerdict | None:
        return self.validator.world.host(HostId("h1")).verdict

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self.open.append(effect)
            elif isinstance(effect, Append):
                self.unsettled.append(effect)
            elif isinstance(effect, Say):
                self.said.append(effect.event)


def metrics(host: str = "h1", leaving: bool = False) -> HostMetrics:
    return HostMetrics(
        host=HostId(host), account_id=1, at_ms=T0, seq=1, address=None, port=0, region=Region("eu"), maps={}, leaving=leaving
    )
