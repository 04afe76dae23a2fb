"""The independent checker: nobody is given more than it has room for, and no correct decider is accused."""

import pytest

from tests.unit.audit_log import T0, audited, full, hosts, in_one_look, invariants


def test_a_host_with_a_slot_left_passes() -> None:
    log = full(slots=3)
    log.assign("pay_c", "h1")

    assert invariants(log) == []


@pytest.mark.parametrize("backups_of", [None, "h2"])
def test_a_host_without_a_slot_left_is_found_at_once_and_at_the_end(backups_of: str | None) -> None:
    log = full()
    log.assign("pay_c", backups_of or "h1", backups=["h1"] if backups_of else [])

    assert invariants(log) == ["slots", "overfull"]
    assert "whose 2 slots are taken by pay_a, pay_b" in audited(log)[0].text


def test_a_host_without_any_slot_is_found() -> None:
    log = hosts(1, slots=0)
    log.assign("pay_a", "h1")

    assert "slots" in invariants(log)


def test_a_cold_backup_takes_no_slot() -> None:
    log = full()
    log.assign("pay_c", "h2", backups=["h3", "h1"])

    assert invariants(log) == []


def test_who_was_named_before_is_not_judged_and_what_it_left_is_free() -> None:
    log = full()
    log.assign("pay_b", "h1", reason="failover", backups=["h3"])
    log.assign("pay_a", "h3", reason="rebalance")
    log.assign("pay_d", "h1")

    assert invariants(log) == []


def test_one_look_that_fills_a_slot_twice_is_found() -> None:
    log = full(slots=3)
    in_one_look(log, ("pay_c", "h1", {}), ("pay_d", "h1", {}))

    assert [(finding.invariant, finding.seq) for finding in audited(log)] == [("slots", 4), ("overfull", 4)]


@pytest.mark.parametrize("freed_first", [True, False])
def test_a_slot_freed_in_the_same_look_may_be_filled(freed_first: bool) -> None:
    log = full()
    freed: tuple[str, str | None, dict[str, object]] = ("pay_a", None, {"reason": "idle"})
    filled: tuple[str, str | None, dict[str, object]] = ("pay_c", "h1", {})
    in_one_look(log, *([freed, filled] if freed_first else [filled, freed]))

    assert invariants(log) == []


def test_a_map_decided_in_the_look_that_keeps_its_slot_still_counts() -> None:
    log = full()
    in_one_look(log, ("pay_c", "h1", {}), ("pay_a", "h1", {"reason": "refill", "tenure": 1, "since_ms": T0 + 1000}))

    assert invariants(log) == ["slots", "overfull"]


def test_two_deciders_that_fill_the_last_slot_at_once_are_not_accused() -> None:
    log = full(slots=3)
    basis = log.basis()
    log.assign("pay_c", "h1", basis=basis, decider="scorer-1")
    log.assign("pay_d", "h1", basis=basis, decider="scorer-2")

    assert invariants(log) == ["overfull"]
    assert invariants(log, quiet_since_ms=log.now_ms - 1) == []


def test_a_map_that_somebody_else_wrote_meanwhile_does_not_count() -> None:
    log = full()
    basis = log.basis()
    log.assign("pay_a", None, basis=basis, decider="scorer-2", reason="idle")
    log.assign("pay_c", "h1", basis=basis, decider="scorer-1")

    assert invariants(log) == []


def test_an_overfull_host_is_forgiven_until_it_is_quiet() -> None:
    log = full()
    log.up("h1", slots=1)

    assert invariants(log, quiet_since_ms=log.now_ms) == ["overfull"]
    assert invariants(log, quiet_since_ms=log.now_ms - 1) == []
