"""The independent checker: causes, reasons and looks."""

import pytest

from libs.events import Basis, Cause, ConfigApplied, Stream
from tests.unit.audit_log import T0, Log, audited, hosts, in_one_look, invariants


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause(tick_ms=T0), "by the tick of"),
        (Cause(stream="HOSTS", seq=0), "HOSTS 0, which does not exist"),
        (Cause(stream="MAPS", seq=2), "beyond its basis"),
        (Cause(stream="ASSIGNMENTS", seq=1), "beyond its basis"),
        (Cause(stream="HOSTS", seq=5), "cannot be read"),
    ],
)
def test_a_cause_that_cannot_be_is_found(cause: Cause, text: str) -> None:
    log = hosts()
    log.say(Stream.HOSTS, None)
    log.census("pay_a", 1)
    log.assign("pay_a", "h1", cause=cause)

    found = audited(log)

    assert [finding.invariant for finding in found] == ["cause"]
    assert text in found[0].text


def test_a_cause_that_was_deleted_is_found() -> None:
    log = hosts()
    log.assign("pay_a", None, cause=Cause(stream="HOSTS", seq=2))
    log.facts = [fact for fact in log.facts if (fact.stream, fact.seq) != (Stream.HOSTS, 2)]

    assert invariants(log) == ["cause"]


@pytest.mark.parametrize(("start", "found"), [(2, ["cause"]), (3, [])])
def test_a_missing_cause_is_a_fault_only_from_the_start_on(start: int, found: list[str]) -> None:
    log = hosts()
    log.assign("pay_a", None, cause=Cause(stream="HOSTS", seq=2))
    log.facts = [fact for fact in log.facts if (fact.stream, fact.seq) != (Stream.HOSTS, 2)]

    assert invariants(log, starts={Stream.HOSTS: start}) == found


def test_applied_settings_are_no_cause() -> None:
    log = hosts()
    seq = log.say(Stream.HOSTS, ConfigApplied(hash="0" * 16, at_ms=T0, settings={}))
    log.assign("pay_a", None, cause=Cause(stream="HOSTS", seq=seq))

    assert invariants(log) == ["cause"]


def after(before: str | None, host: str | None, **changes: object) -> Log:
    """A map that was with nobody ("none"), the VPS (None) or a host, and is now given to `host`."""
    log = hosts()
    if before != "none":
        log.assign("pay_a", before)
    log.assign("pay_a", host, **changes)
    return log


@pytest.mark.parametrize(
    ("before", "host", "changes", "text"),
    [
        ("h1", "h2", {"reason": "failover", "decider": "scorer-1"}, "not for scorer-1 to write"),
        ("none", "h1", {"reason": "enter", "decider": "failover-1"}, "not for failover-1 to write"),
        ("none", "h1", {"reason": "operator", "decider": "relay-1"}, "not for relay-1 to write"),
        (None, "h1", {"reason": "failover"}, "failover does not replace vps"),
        ("none", "h1", {"reason": "drain"}, "drain does not replace nothing"),
        ("h1", "h1", {"reason": "failover"}, "failover leaves the map with h1"),
        ("h1", "h1", {"reason": "rebalance"}, "rebalance leaves the map with h1"),
        (None, "h1", {"reason": "rebalance"}, "rebalance does not replace vps"),
        ("h1", "h2", {"reason": "enter"}, "enter does not replace p2p"),
        ("h1", "h2", {"reason": "promote"}, "promote does not replace p2p"),
        ("none", None, {"reason": "promote"}, "promote does not lead to vps"),
        ("h1", "h2", {"reason": "idle"}, "idle does not lead to p2p"),
        ("h1", "h1", {"reason": "refill"}, "refill begins a tenure"),
    ],
)
def test_a_reason_that_does_not_fit_is_found(
    before: str | None, host: str | None, changes: dict[str, object], text: str
) -> None:
    found = [finding for finding in audited(after(before, host, **changes)) if finding.invariant == "reason"]

    assert any(text in finding.text for finding in found)


@pytest.mark.parametrize(
    ("before", "host", "reason"),
    [
        ("none", "h1", "enter"),
        ("none", None, "enter"),
        (None, "h1", "enter"),
        (None, "h1", "promote"),
        ("h1", "h2", "rebalance"),
        ("h1", None, "rebalance"),
        ("h1", None, "idle"),
        ("h1", "h2", "failover"),
        ("h1", None, "failover"),
        ("h1", None, "drain"),
        ("h1", "h2", "operator"),
    ],
)
def test_a_reason_that_fits_passes(before: str | None, host: str | None, reason: str) -> None:
    assert invariants(after(before, host, reason=reason)) == []


@pytest.mark.parametrize(
    "changes", [{"basis": Basis(hosts=3, maps=0, assignments=0)}, {"config": "c2"}, {"at_ms": T0 + 1001}], ids=str
)
def test_a_look_that_is_not_one_is_found(changes: dict[str, object]) -> None:
    log = hosts()
    basis = log.basis()
    log.assign("pay_a", None, basis=basis, look="L")
    log.assign("pay_b", None, **{"basis": basis, "look": "L"} | changes)

    assert "look" in invariants(log)


def test_one_look_of_many_maps_passes() -> None:
    log = hosts()
    in_one_look(log, ("pay_a", "h1", {}), ("pay_b", "h2", {}), ("pay_c", None, {}))

    assert invariants(log) == []


def test_two_deciders_may_call_their_looks_alike() -> None:
    log = hosts()
    log.assign("pay_a", None, look="1", decider="scorer-1")
    log.assign("pay_b", None, look="1", decider="scorer-2")

    assert invariants(log) == []


@pytest.mark.parametrize("stream", ["hosts", "maps", "assignments"])
def test_a_decider_that_forgets_what_it_read_is_found(stream: str) -> None:
    log = hosts()
    log.census("pay_a", 1)
    log.assign("pay_b", None)
    log.assign("pay_a", None)
    now = log.basis()
    earlier = {"hosts": now.hosts, "maps": now.maps, "assignments": now.assignments - 1} | {stream: 0}
    log.assign("pay_c", None, basis=Basis(**earlier))

    assert invariants(log) == ["look"]


def test_another_decider_may_have_read_less() -> None:
    log = hosts()
    log.assign("pay_a", None)
    log.assign("pay_b", None, decider="scorer-2", basis=Basis(hosts=1, maps=0, assignments=0))

    assert invariants(log) == []
