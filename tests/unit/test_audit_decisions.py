"""The independent checker, decision by decision: tenure, backups, which maps."""

from dataclasses import replace

import pytest

from libs.events import Basis
from services.ops.audit import Rules
from tests.unit.audit_log import RULES, T0, Log, audited, hosts, invariants


def carried(**changes: object) -> Log:
    log = hosts()
    tenure = log.assign("pay_a", "h1")
    log.tick()
    log.refill("pay_a", **{"host": "h1", "tenure": tenure, "since_ms": T0 + 1000, "backups": ["h2"]} | changes)
    return log


def test_a_tenure_carried_on_passes() -> None:
    assert invariants(carried()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tenure": 7}, "carries tenure 7 on, but 1 is in force"),
        ({"host": "h3"}, "changes h1 to h3 within one tenure"),
        ({"host": None}, "changes h1 to the VPS within one tenure"),
        ({"since_ms": T0 + 1500}, "changes since_ms"),
        ({"since_ms": T0 + 9000}, "serves since"),
        ({"basis": Basis(hosts=4, maps=0, assignments=0)}, "overwrites #1, which its decider had not read"),
        ({"basis": Basis(hosts=4, maps=0, assignments=2)}, "itself or later"),
    ],
)
def test_a_broken_tenure_is_found(changes: dict[str, object], text: str) -> None:
    found = [finding for finding in audited(carried(**changes)) if finding.invariant == "tenure"]

    assert any(text in finding.text for finding in found)
    assert {(finding.subject, finding.seq) for finding in found} == {("map.assign.pay_a", 2)}


def test_a_first_assignment_that_carries_a_tenure_is_found() -> None:
    log = hosts()
    log.refill("pay_a", None, 9, T0)

    assert "tenure" in invariants(log)


def test_a_tenure_in_force_may_be_carried_twice() -> None:
    log = carried()
    log.refill("pay_a", "h1", 1, T0 + 1000, backups=["h2", "h3"])

    assert invariants(log) == []


@pytest.mark.parametrize("backups", [["h1"], ["h2", "h2"]])
def test_a_host_named_twice_is_found(backups: list[str]) -> None:
    log = hosts()
    log.assign("pay_a", "h1", backups=backups)

    assert invariants(log) == ["backups"]


@pytest.mark.parametrize(
    ("map_", "rules"),
    [
        ("prontera", RULES),
        ("pay_dun99", RULES),
        ("PAY_a", RULES),
        ("pay_a", replace(RULES, enable_p2p=False)),
        ("pay_a", replace(RULES, never=("*",))),
    ],
)
def test_a_map_that_belongs_to_the_vps_is_found_on_a_host(map_: str, rules: Rules) -> None:
    log = hosts()
    log.assign(map_, "h1")

    assert invariants(log, rules) == ["eligible"]


def test_each_decision_is_judged_by_its_own_settings() -> None:
    log = hosts()
    log.assign("prontera", "h1", config="c2")
    all_maps = replace(RULES, eligible=("*",))

    assert invariants(log, by_config={"c2": all_maps}) == []
    assert invariants(log, by_config={"c3": all_maps}) == ["eligible"]
