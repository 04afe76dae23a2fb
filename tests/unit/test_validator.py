"""services/validator: asks hosts for proofs, and what it holds of them."""

import pytest

from libs.events import CheckKind, HostCheckReply, HostId, NodeName, OpsAlert
from libs.events.proof import proof_of
from libs.hosting.effects import Append, Refused
from services.validator.core import CPU_EVERY, FIRST_OFFSET_MS, FORGET_MS, STRIKE_FADES_MS, Validator
from tests.unit.builders import T0, Log, rules, verdict
from tests.unit.validator_bench import INTERVAL_MS, NEXT_MS, Bench, metrics

# Asking.


def test_a_host_never_checked_is_asked_at_once_and_trusted_when_it_proves() -> None:
    bench = Bench()
    bench.now_ms += FIRST_OFFSET_MS

    (ask,) = bench.ask()
    bench.answer(ask)

    assert ask.request.kind is CheckKind.PRESENCE
    assert (bench.verdict.verdict, bench.verdict.trust, bench.verdict.strikes) == ("pass", 0.5, 0)


def test_trust_grows_with_each_proof() -> None:
    bench = Bench()

    trusts = []
    for _ in range(4):
        bench.check()
        trusts.append(bench.verdict.trust)

    assert trusts == [0.5, 0.625, 0.71875, 0.789062]


def test_every_tenth_check_is_work() -> None:
    bench = Bench()

    kinds = [bench.check().request.kind for _ in range(CPU_EVERY)]

    assert kinds == [CheckKind.PRESENCE] * (CPU_EVERY - 1) + [CheckKind.CPU]


def test_each_check_has_a_nonce_of_its_own() -> None:
    bench = Bench()

    assert len({bench.check().request.nonce for _ in range(5)}) == 5


def test_one_question_at_a_time() -> None:
    bench = Bench()
    bench.now_ms += FIRST_OFFSET_MS
    bench.ask()

    bench.now_ms += 3 * INTERVAL_MS
    bench.beat()

    assert bench.ask() == []


def test_with_checks_off_nobody_is_asked() -> None:
    bench = Bench()
    bench.settings = rules(general={"enable_p2p_security_checks": False})
    bench.validator = Validator(bench.settings, name=NodeName("validator-1"), nonce=lambda: "0" * 16)
    bench.validator.on_caught_up(T0)
    bench.beat()
    bench.now_ms += INTERVAL_MS

    assert bench.ask() == []


def test_before_it_has_caught_up_it_asks_nobody() -> None:
    validator = Validator(rules(), name=NodeName("validator-1"), nonce=lambda: "0" * 16)
    validator.on_heard(metrics(), T0)

    assert validator.step(T0 + INTERVAL_MS) == []


@pytest.mark.parametrize("silent_ms", [FORGET_MS + 1])
def test_a_silent_host_is_forgotten(silent_ms: int) -> None:
    bench = Bench()
    bench.beat()

    bench.now_ms += silent_ms

    assert bench.ask() == []


def test_replicas_share_the_work() -> None:
    log = Log()
    benches = [Bench(f"validator-{number}", log) for number in (1, 2)]
    log._on_fact = tuple(lambda fact, bench=bench: bench.validator.on_fact(fact, bench.now_ms) for bench in benches)
    checks = 0
    for _ in range(300):
        for bench in benches:
            bench.now_ms += 500
            bench.beat()
            for ask in bench.ask():
                checks += 1
                bench.answer(ask)
            benches[1].now_ms = benches[0].now_ms

    intervals = (benches[0].now_ms - T0) // INTERVAL_MS
    assert intervals * 0.8 <= checks <= intervals * 1.5


# Strikes and blacklisting.


def test_a_wrong_proof_is_a_strike_with_evidence_and_halves_the_trust() -> None:
    bench = Bench()
    bench.check()

    bench.check("0" * 64)

    assert (bench.verdict.verdict, bench.verdict.strikes, bench.verdict.trust) == ("strike", 1, 0.25)
    assert {"nonce", "expected", "answered"} <= bench.verdict.evidence.keys()
    assert bench.verdict.blacklisted_until_ms is None


def test_the_last_strike_blacklists_for_a_while_and_says_so() -> None:
    bench = Bench()

    for _ in range(3):
        bench.check("0" * 64)

    assert (bench.verdict.verdict, bench.verdict.strikes, bench.verdict.trust) == ("blacklist", 3, 0.0)
    assert bench.verdict.blacklisted_until_ms == bench.verdict.at_ms + 60_000
    assert [event.what for event in bench.said if isinstance(event, OpsAlert)] == ["blacklisted"]


def test_who_is_blacklisted_is_not_asked() -> None:
    bench = Bench()
    for _ in range(3):
        bench.check("0" * 64)

    bench.now_ms += NEXT_MS
    bench.beat()

    assert bench.ask() == []


def test_after_it_a_host_begins_without_strikes_and_the_next_time_is_longer() -> None:
    bench = Bench()
    for _ in range(3):
        bench.check("0" * 64)
    bench.now_ms += 60_000

    bench.check("0" * 64)
    assert bench.verdict.strikes == 1
    bench.check("0" * 64)
    bench.check("0" * 64)

    assert bench.verdict.blacklisted_until_ms == bench.verdict.at_ms + 120_000


def test_no_blacklisting_is_longer_than_the_longest() -> None:
    bench = Bench(strikes_max=1, blacklist_max_s=100)
    until_ms = []
    for _ in range(3):
        bench.check("0" * 64)
        until_ms.append(bench.verdict.blacklisted_until_ms - bench.verdict.at_ms)
        bench.now_ms += 200_000

    assert until_ms == [60_000, 100_000, 100_000]


def test_a_pass_keeps_the_strikes_until_they_fade() -> None:
    bench = Bench()
    bench.check("0" * 64)

    bench.check()
    kept = bench.verdict.strikes
    bench.now_ms += STRIKE_FADES_MS
    bench.check()

    assert (kept, bench.verdict.strikes) == (1, 0)


# Unanswered.


def test_one_unanswered_check_of_a_host_that_beats_is_no_strike_but_is_asked_again_soon() -> None:
    bench = Bench()

    bench.check(None)
    bench.now_ms += 1_500
    bench.beat()

    assert bench.verdict is None
    assert len(bench.ask()) == 1


def test_many_unanswered_checks_in_a_row_are_a_strike() -> None:
    bench = Bench()

    unanswered = 0
    while bench.verdict is None and unanswered < 10:
        bench.check(None)
        unanswered += 1

    assert unanswered == 3
    assert (bench.verdict.verdict, bench.verdict.evidence["unanswered"]) == ("strike", 3)


def test_an_honest_host_on_a_bad_line_is_not_struck() -> None:
    bench = Bench()

    for _ in range(20):
        bench.check()
        bench.check(None)
        for _ in range(6):
            bench.check()

    assert bench.verdict.strikes == 0


def test_a_host_that_does_not_even_beat_is_the_registrys_matter() -> None:
    bench = Bench()
    for _ in range(10):
        bench.now_ms += NEXT_MS
        bench.beat()
        (ask,) = bench.ask()
        bench.now_ms += 20
        bench.validator.on_reply(ask, None, bench.now_ms)

    assert bench.verdict is None


# Writing.


def test_a_verdict_expects_the_last_one_of_its_host() -> None:
    bench = Bench()
    bench.check()
    seq = bench.validator.world.host(HostId("h1")).verdict_seq
    bench.now_ms += NEXT_MS
    bench.beat()
    (ask,) = bench.ask()
    reply = HostCheckReply(proof=proof_of(ask.request))

    bench.validator.on_reply(ask, reply, bench.now_ms)

    (write,) = [effect for effect in bench.validator.step(bench.now_ms) if isinstance(effect, Append)]
    assert (write.expected, write.scope) == (seq, None)


def test_a_refused_strike_is_checked_again_at_once_after_it_has_read_what_was_written() -> None:
    bench = Bench()
    bench.now_ms += FIRST_OFFSET_MS
    (ask,) = bench.ask()
    bench.validator.on_reply(ask, HostCheckReply(proof="0" * 64), bench.now_ms)
    (write,) = [effect for effect in bench.validator.step(bench.now_ms) if isinstance(effect, Append)]

    bench.validator.on_settled(write, Refused(1), bench.now_ms)
    assert bench.ask() == []
    bench.log.say(verdict("h1", strikes=1, verdict="strike"))
    bench.now_ms += NEXT_MS
    bench.beat()
    (again,) = bench.ask()
    bench.answer(again, "0" * 64)

    assert bench.verdict.strikes == 2
