"""The independent checker: what is said about hosts, and how things stand at the end."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.audit_log import RULES, T0, Log, audited, hosts, invariants


def test_a_map_left_with_a_dead_host_is_found_after_the_grace() -> None:
    log = hosts()
    log.assign("pay_a", "h1")
    log.tick()
    log.down("h1")

    assert invariants(log) == ["orphan"]
    assert invariants(log, quiet_since_ms=log.now_ms) == ["orphan"]
    assert invariants(log, quiet_since_ms=log.now_ms - 1) == []
    assert invariants(log, replace(RULES, vps_fallback=False)) == []


def test_a_dead_backup_is_no_orphan() -> None:
    log = hosts()
    log.assign("pay_a", "h1", backups=["h2"])
    log.down("h2")

    assert invariants(log) == []


INVALID: dict[str, Callable[[Log], object]] = {
    "draining": lambda log: log.up("h1", draining=True),
    "failed": lambda log: log.up("h1", failed_maps=["pay_a"]),
    "drained by ops": lambda log: log.drain("h1"),
    "rolled back": lambda log: log.moved("pay_a", 1, "rolled_back"),
    "ended on the vps": lambda log: log.moved("pay_a", 1, "vps"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_map_left_with_a_host_that_shall_not_serve_is_found(case: str) -> None:
    log = hosts()
    log.assign("pay_a", "h1")
    log.tick()
    INVALID[case](log)

    assert invariants(log) == ["invalid"]
    assert invariants(log, quiet_since_ms=log.now_ms - 1) == []
    log.assign("pay_a", None, reason="failover")
    assert invariants(log) == []


@pytest.mark.parametrize(("tenure", "outcome"), [(1, "moved"), (7, "rolled_back")])
def test_a_move_that_succeeded_or_of_another_tenure_is_no_fault(tenure: int, outcome: str) -> None:
    log = hosts()
    log.assign("pay_a", "h1")
    log.moved("pay_a", tenure, outcome)

    assert invariants(log) == []


def test_a_map_with_players_and_no_assignment_is_found_after_the_grace() -> None:
    log = hosts()
    log.census("pay_a", 3)
    log.census("pay_b", 3)
    log.census("pay_b", 0)

    assert [(finding.invariant, finding.subject) for finding in audited(log)] == [("unassigned", "map.census.pay_a")]
    assert invariants(log, quiet_since_ms=log.now_ms - 1) == []
    log.assign("pay_a", None)
    assert invariants(log) == []


def test_a_second_death_and_a_death_before_birth_are_found() -> None:
    log = hosts(1)
    log.down("h1")
    log.down("h1")
    log.down("h9")

    found = [(finding.invariant, finding.subject, finding.text) for finding in audited(log)]
    assert found == [
        ("registry", "host.down.h1", "is down again"),
        ("registry", "host.down.h9", "is down without ever being up"),
    ]


@pytest.mark.parametrize("disconnects_ms", [[2, 1], [0] * 17])
def test_disconnects_out_of_order_or_too_many_are_found(disconnects_ms: list[int]) -> None:
    log = hosts(1, disconnects_ms=disconnects_ms)

    assert invariants(log) == ["registry"]


def test_sixteen_disconnects_in_order_pass() -> None:
    assert invariants(hosts(1, disconnects_ms=[*range(15), 14])) == []


def test_time_that_runs_back_is_found() -> None:
    log = hosts(1)
    log.up("h1", at_ms=T0 - 1)

    assert invariants(log) == ["registry"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"evidence": {}}, "without evidence"),
        ({"blacklisted_until_ms": None}, "without an end"),
        ({"strikes": 3}, "strikes jump from 1 to 3"),
    ],
)
def test_a_verdict_that_is_not_fair_is_found(changes: dict[str, object], text: str) -> None:
    log = hosts(1)
    log.verdict("h1", "strike", strikes=1)
    log.verdict("h1", "blacklist", **{"strikes": 2, "blacklisted_until_ms": T0, "evidence": {"a": 1}} | changes)

    found = audited(log)

    assert [finding.invariant for finding in found] == ["verdict"]
    assert text in found[0].text


def test_a_first_verdict_of_two_strikes_is_found() -> None:
    log = hosts(1)
    log.verdict("h1", "strike", strikes=2)

    assert invariants(log) == ["verdict"]
