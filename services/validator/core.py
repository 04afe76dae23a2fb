"""Checks hosts and says what it holds of them: host.verdict. The shell drives it: heartbeats, facts in; effects out of `step`.

Replicas share the work by time: each is due at an offset of its own, and whoever was first has said so in the log. A strike is
linked to evidence; a blacklisting ends; an unanswered request alone is no strike, only many of a host that beats are (a
sequential probability ratio test, Wald 1945).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Literal

from libs.config import Settings
from libs.events import (
    CheckKind,
    Event,
    Fact,
    HostCheck,
    HostCheckReply,
    HostId,
    HostMetrics,
    HostSpeed,
    HostVerdict,
    NodeName,
    OpsAlert,
    Reply,
    SaveCheck,
)
from libs.events.names import Plain
from libs.events.proof import proof_of
from libs.hosting.effects import Append, Ask, Committed, Effect, Outcome, Refused, Say
from libs.hosting.score import name_hash
from libs.hosting.world import Host, World
from services.validator.saves import judge
from services.validator.speed import Speeds

ASKS_MAX = 64
"""Requests out at once; bounds what the validator itself computes while it waits."""
HOSTS_MAX = 100_000
FORGET_MS = 60_000
"""A host that was silent this long is not asked."""
FIRST_OFFSET_MS = 400
"""Replicas ask a new host within this span of each other."""
CPU_EVERY = 10
CPU_ROUNDS = 4_000
"""A chain of this many SHA-256 takes about 2 ms here and there; the validator walks it too."""
TRUST_FIRST, TRUST_GAIN, TRUST_STRIKE = 0.5, 0.25, 0.5
UNANSWERED_HONEST, UNANSWERED_CHEAT = 0.02, 0.5
"""How often a request goes unanswered: by an honest host on a home line, by one that avoids checks."""
STRIKE_FADES_MS = 24 * 3_600_000
VerdictWord = Literal["pass", "strike", "blacklist"]
MARGIN_MS = 1_000


@dataclass(slots=True)
class Watch:
    """What this replica remembers of one host. ratio: log likelihood that it avoids checks; 0 or above."""

    heard_ms: int
    due_ms: int
    asking: bool = False
    writing: int = 0
    ratio: float = 0.0
    unanswered: int = 0
    asked: int = 0


class Validator:
    """A `Core` (libs/hosting/effects.py). nonce: a fresh unguessable hex string at each call."""

    def __init__(self, settings: Settings, *, name: NodeName, nonce: Callable[[], str]) -> None:
        self.world = World()
        self._settings, self._name, self._nonce = settings, name, nonce
        self._watches: dict[HostId, Watch] = {}
        self._speeds = Speeds(settings)
        self._asks = 0
        self._caught_up = False
        self._effects: list[Effect] = []

    def on_fact(self, fact: Fact, now_ms: int) -> None:
        self.world.apply(fact)
        event = fact.event
        if isinstance(event, HostVerdict) and (watch := self._watches.get(event.host)) is not None:
            watch.due_ms = max(
                watch.due_ms, now_ms + self._interval_ms() + self._offset_ms(event.host, self._interval_ms() // 10)
            )

    def on_caught_up(self, now_ms: int) -> None:  # noqa: ARG002 - the shape of every core
        self._caught_up = True

    def on_heard(self, event: Event, now_ms: int) -> None:
        if not isinstance(event, HostMetrics) or event.leaving:
            return
        if (watch := self._watches.get(event.host)) is not None:
            watch.heard_ms = now_ms
        elif len(self._watches) < HOSTS_MAX:
            self._watches[event.host] = Watch(now_ms, now_ms + self._first_due_ms(event.host, now_ms))

    def on_asked(self, request: Event, now_ms: int) -> Reply:
        if isinstance(request, HostSpeed):
            return self._speeds.answer(request, now_ms)
        assert isinstance(request, SaveCheck)
        return judge(request)

    def on_lease(self, number: int, now_ms: int) -> None:
        """Validators share the work without a leader."""

    def on_gap(self, now_ms: int) -> None:
        """A host that was not heard meanwhile is not struck for it: an unanswered check counts only while it beats."""

    def on_reply(self, ask: Ask, reply: Reply | None, now_ms: int) -> None:
        self._asks -= 1
        check = ask.request
        if not isinstance(check, HostCheck) or (watch := self._watches.get(check.host)) is None:
            return
        watch.asking = False
        if reply is None:
            self._unanswered(check, watch, now_ms)
        elif isinstance(reply, HostCheckReply):
            self._answered(check, reply, watch, now_ms)

    def on_settled(self, write: Append, outcome: Outcome, now_ms: int) -> None:
        verdict = write.event
        if not isinstance(verdict, HostVerdict) or (watch := self._watches.get(verdict.host)) is None:
            return
        watch.writing = outcome.seq if isinstance(outcome, Committed) else 0
        if isinstance(outcome, Refused):
            watch.writing = outcome.last
            if verdict.verdict != "pass":
                watch.due_ms = now_ms  # evidence must not get lost: ask again at once
        elif isinstance(outcome, Committed) and verdict.verdict == "blacklist" and self._settings.monitoring.alert_on_failure:
            detail = f"{verdict.strikes} strikes, excluded until {verdict.blacklisted_until_ms}"
            self._effects.append(
                Say(OpsAlert(about=verdict.host, at_ms=now_ms, what="blacklisted", detail=detail, by=self._name))
            )

    def step(self, now_ms: int) -> list[Effect]:
        if self._caught_up and self._settings.general.enable_p2p_security_checks:
            self._ask_due(now_ms)
        effects, self._effects = self._effects, []
        return effects

    def _ask_due(self, now_ms: int) -> None:
        for host_id, watch in list(self._watches.items()):
            if now_ms - watch.heard_ms > FORGET_MS:
                del self._watches[host_id]
            elif watch.due_ms <= now_ms and self._asks < ASKS_MAX and self._may_ask(host_id, watch, now_ms):
                watch.asking = True
                watch.asked += 1
                watch.due_ms = now_ms + self._interval_ms()
                self._asks += 1
                kind = CheckKind.CPU if watch.asked % CPU_EVERY == 0 else CheckKind.PRESENCE
                rounds = CPU_ROUNDS if kind is CheckKind.CPU else 1
                check = HostCheck(host=host_id, at_ms=now_ms, kind=kind, nonce=self._nonce(), rounds=rounds)
                self._effects.append(Ask(check, self._settings.security.check_timeout_ms))

    def _may_ask(self, host_id: HostId, watch: Watch, now_ms: int) -> bool:
        free = not watch.asking and watch.writing <= self.world.hosts_seq
        return free and not self.world.host(host_id).excluded(now_ms)

    def _answered(self, check: HostCheck, reply: HostCheckReply, watch: Watch, now_ms: int) -> None:
        expected = proof_of(check)
        if reply.proof == expected:
            watch.ratio = max(0.0, watch.ratio + log((1 - UNANSWERED_CHEAT) / (1 - UNANSWERED_HONEST)))
            watch.unanswered = 0
            self._pass(check, watch, now_ms)
        else:
            evidence: dict[str, Plain] = {
                "nonce": check.nonce,
                "rounds": check.rounds,
                "expected": expected,
                "answered": reply.proof,
            }
            self._strike(check, watch, evidence, now_ms)

    def _unanswered(self, check: HostCheck, watch: Watch, now_ms: int) -> None:
        """Counts only against a host that beats meanwhile; a dead or cut-off one is the registry's matter."""
        if watch.heard_ms <= check.at_ms:
            return
        watch.unanswered += 1
        watch.ratio += log(UNANSWERED_CHEAT / UNANSWERED_HONEST)
        watch.due_ms = min(watch.due_ms, now_ms + MARGIN_MS)
        rules = self._settings.security
        if watch.ratio >= log((1 - rules.beta) / rules.alpha):
            evidence: dict[str, Plain] = {
                "unanswered": watch.unanswered,
                "log_ratio": round(watch.ratio, 6),
                "alpha": rules.alpha,
            }
            watch.ratio, watch.unanswered = 0.0, 0
            self._strike(check, watch, evidence, now_ms)

    def _pass(self, check: HostCheck, watch: Watch, now_ms: int) -> None:
        host = self.world.host(check.host)
        before = host.verdict
        trust = TRUST_FIRST if before is None or before.trust <= 0 else before.trust + (1 - before.trust) * TRUST_GAIN
        strikes = self._standing_strikes(host, now_ms)
        if strikes and before is not None and now_ms - before.checks.get("strike", 0) >= STRIKE_FADES_MS:
            strikes -= 1
        checks = {**(before.checks if before else {}), check.kind.value: now_ms}
        evidence: dict[str, Plain] = {"blacklistings": _blacklistings(host)}
        self._say(host, watch, check, "pass", strikes, None, round(trust, 6), checks, evidence, now_ms)

    def _strike(self, check: HostCheck, watch: Watch, evidence: dict[str, Plain], now_ms: int) -> None:
        host, rules = self.world.host(check.host), self._settings.security
        trust = round((host.verdict.trust if host.verdict else 0.0) * TRUST_STRIKE, 6)
        strikes = self._standing_strikes(host, now_ms) + 1
        checks = {**(host.verdict.checks if host.verdict else {}), "strike": now_ms}
        earlier = _blacklistings(host)
        if strikes < rules.strikes_max:
            self._say(
                host, watch, check, "strike", strikes, None, trust, checks, {**evidence, "blacklistings": earlier}, now_ms
            )
            return
        span_s = min(rules.blacklist_s * rules.blacklist_factor**earlier, rules.blacklist_max_s)
        until_ms = now_ms + int(span_s * 1000)
        evidence = {**evidence, "blacklistings": earlier + 1}
        self._say(host, watch, check, "blacklist", strikes, until_ms, 0.0, checks, evidence, now_ms)

    def _say(
        self,
        host: Host,
        watch: Watch,
        check: HostCheck,
        verdict: VerdictWord,
        strikes: int,
        until_ms: int | None,
        trust: float,
        checks: dict[str, int],
        evidence: dict[str, Plain],
        now_ms: int,
    ) -> None:
        fact = HostVerdict(
            host=host.id,
            at_ms=now_ms,
            kind=check.kind.value,
            verdict=verdict,
            strikes=strikes,
            blacklisted_until_ms=until_ms,
            trust=trust,
            checks=checks,
            evidence=evidence,
        )
        watch.writing = SETTLING
        self._effects.append(Append(fact, host.verdict_seq))

    def _standing_strikes(self, host: Host, now_ms: int) -> int:
        """Strikes that count: a blacklisting that has ended has paid for its own."""
        verdict = host.verdict
        if verdict is None or (verdict.blacklisted_until_ms is not None and verdict.blacklisted_until_ms <= now_ms):
            return 0
        return verdict.strikes

    def _interval_ms(self) -> int:
        return int(self._settings.security.check_interval_s * 1000)

    def _offset_ms(self, host: HostId, span_ms: int) -> int:
        """This replica's own delay for this host, 0 .. span_ms."""
        return name_hash(f"{self._name}/{host}") % max(1, span_ms)

    def _first_due_ms(self, host_id: HostId, now_ms: int) -> int:
        """From now until the first check: at once for a host never checked, else when its last one is old."""
        verdict = self.world.host(host_id).verdict
        last_ms = max((at_ms for kind, at_ms in verdict.checks.items() if kind != "strike"), default=0) if verdict else 0
        wait_ms = max(0, last_ms + self._interval_ms() - now_ms)
        return wait_ms + self._offset_ms(host_id, FIRST_OFFSET_MS)


SETTLING = 2**62
"""`Watch.writing` while a verdict is on its way."""


def _blacklistings(host: Host) -> int:
    """How often it was blacklisted before, as the last verdict says."""
    count = host.verdict.evidence.get("blacklistings", 0) if host.verdict else 0
    return count if isinstance(count, int) else 0
