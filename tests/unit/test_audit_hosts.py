"""The independent checker: was the chosen host fit, at the basis?"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.audit_log import RULES, T0, Log, audited, hosts, invariants


def unfit_up(**changes: object) -> Callable[[Log], object]:
    return lambda log: log.up("h1", **changes)


UNFIT: dict[str, tuple[Callable[[Log], object], str]] = {
    "down": (lambda log: log.down("h1"), "was down (silent)"),
    "draining": (unfit_up(draining=True), "was draining"),
    "drained by ops": (lambda log: log.drain("h1"), "was draining by the operator's word"),
    "blacklisted": (
        lambda log: log.verdict("h1", "blacklist", strikes=1, blacklisted_until_ms=log.now_ms + 1, evidence={"a": 1}),
        "was blacklisted until",
    ),
    "banned": (lambda log: log.ban("h1", log.now_ms + 1), "was banned until"),
    "banned for good": (lambda log: log.ban("h1", None), "was banned until lifted"),
    "untrusted": (unfit_up(trust=0.4), "had trust 0.4, below 0.5"),
    "never checked": (unfit_up(trust=0.0), "was never checked"),
    "failed": (unfit_up(failed_maps=["pay_a"]), "had failed this map"),
}
FIT: dict[str, Callable[[Log], object]] = {
    "down and up again": lambda log: (log.down("h1"), log.up("h1")),
    "let in again": lambda log: (log.drain("h1"), log.drain("h1", draining=False)),
    "blacklist over": lambda log: log.verdict("h1", "blacklist", strikes=1, blacklisted_until_ms=log.now_ms, evidence={"a": 1}),
    "ban over": lambda log: (log.ban("h1", None), log.ban("h1", log.now_ms)),
    "just trusted": unfit_up(trust=0.5),
    "failed another map": unfit_up(failed_maps=["pay_b"]),
}


@pytest.mark.parametrize("case", UNFIT)
@pytest.mark.parametrize("role", ["primary", "backup", "second backup", "promoted backup"])
def test_an_unfit_host_newly_given_a_map_is_found(case: str, role: str) -> None:
    happens, text = UNFIT[case]
    log = hosts()
    if role == "promoted backup":
        log.assign("pay_a", "h2", backups=["h1"])
    happens(log)
    match role:
        case "primary":
            log.assign("pay_a", "h1")
        case "backup":
            log.assign("pay_a", "h2", backups=["h1"])
        case "second backup":
            log.assign("pay_a", "h2", backups=["h3", "h1"])
        case _:
            log.assign("pay_a", "h1", reason="failover")

    found = [finding for finding in audited(log, quiet_since_ms=T0) if finding.invariant == "host"]

    assert len(found) == 1
    assert text in found[0].text


@pytest.mark.parametrize("case", FIT)
def test_a_host_that_is_just_fit_passes(case: str) -> None:
    log = hosts()
    FIT[case](log)
    log.assign("pay_a", "h1", backups=["h2"])

    assert invariants(log) == []


@pytest.mark.parametrize("case", UNFIT)
def test_what_happened_after_the_basis_is_no_fault(case: str) -> None:
    log = hosts()
    basis = log.basis()
    UNFIT[case][0](log)
    log.assign("pay_a", "h1", basis=basis)

    assert invariants(log, quiet_since_ms=T0) == []


def test_a_host_nobody_ever_saw_is_found() -> None:
    log = hosts()
    log.assign("pay_a", "h9")

    assert invariants(log) == ["host"]


def test_a_host_that_keeps_its_map_is_not_judged_again() -> None:
    log = hosts()
    tenure = log.assign("pay_a", "h1", backups=["h2"])
    log.up("h1", trust=0.1)
    log.up("h2", trust=0.1)
    log.refill("pay_a", "h1", tenure, log.now_ms, backups=["h2", "h3"])

    assert invariants(log) == []


def test_the_primary_made_a_backup_is_judged() -> None:
    log = hosts()
    log.assign("pay_a", "h1", backups=["h2"])
    log.drain("h1")
    log.assign("pay_a", "h2", backups=["h1"], reason="drain")

    assert invariants(log) == ["host"]


def test_trust_does_not_count_while_checks_are_off() -> None:
    log = hosts(trust=0.0)
    log.assign("pay_a", "h1")

    assert invariants(log, replace(RULES, checks_on=False)) == []
    assert invariants(log) == ["host"]


def test_a_host_never_checked_is_found_however_little_trust_is_asked() -> None:
    log = hosts(trust=0.0)
    log.assign("pay_a", "h1")

    assert invariants(log, replace(RULES, trust_min=0.0)) == ["host"]


def test_a_cooling_host_gets_the_map_when_its_time_is_over() -> None:
    log = hosts()
    log.assign("pay_a", None, cooling={"h1": log.now_ms + 2000})
    log.tick()
    too_early = Log()
    too_early.__dict__.update({**log.__dict__, "facts": list(log.facts), "seqs": dict(log.seqs)})
    too_early.assign("pay_a", "h1", reason="promote")
    log.tick()
    log.assign("pay_a", "h1", reason="promote")

    assert invariants(log) == []
    assert invariants(too_early) == ["host"]
