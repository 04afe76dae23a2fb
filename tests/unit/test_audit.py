"""The independent checker: a good log passes; what cannot be known is not accused."""

import ast
from pathlib import Path
from random import Random

import pytest

import services.ops.audit
from libs.events import Cause, Stream
from services.ops.audit import Audit
from tests.unit.audit_log import RULES, T0, Log, audited, full, hosts, invariants


def good_log() -> Log:
    """A day in short: enter, refill, death, drain, promotion, rebalance, idle."""
    log = hosts()
    log.census("pay_a", 2)
    first = log.assign("pay_a", "h1", backups=["h2"], cause=Cause(stream="MAPS", seq=1))
    since_ms = log.now_ms
    log.moved("pay_a", first, "moved")
    log.tick()
    log.refill("pay_a", "h1", first, since_ms, backups=["h2", "h3"])
    log.tick()
    died = log.down("h1", disconnects_ms=[log.now_ms])
    log.assign("pay_a", "h2", backups=["h3"], reason="failover", cause=Cause(stream="HOSTS", seq=died))
    log.tick()
    log.up("h1", disconnects_ms=[log.now_ms - 1000])
    log.drain("h2")
    log.tick()
    log.assign("pay_a", None, reason="drain")
    log.drain("h2", draining=False)
    log.tick()
    log.assign("pay_a", "h3", reason="promote")
    log.tick()
    log.assign("pay_a", "h4", reason="rebalance")
    log.tick()
    log.census("pay_a", 0)
    log.assign("pay_a", None, reason="idle")
    log.assign("prontera", None)
    log.verdict("h1", "strike", strikes=1)
    log.verdict("h1", "blacklist", strikes=2, blacklisted_until_ms=log.now_ms + 60_000, evidence={"asked": 1})
    log.verdict("h1", "pass", strikes=0)
    return log


def test_a_good_log_passes() -> None:
    audit = Audit(RULES)
    audit.feed_all(good_log().facts)

    assert audit.findings() == []
    assert audit.decisions == 8
    assert audit.unjudged == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_interleaving_of_the_streams_does_not_matter(seed: int) -> None:
    log, rng = good_log(), Random(seed)
    streams = [[fact for fact in log.facts if fact.stream == stream] for stream in log.seqs]
    audit = Audit(RULES)
    while streams := [facts for facts in streams if facts]:
        audit.feed(rng.choice(streams).pop(0))

    assert audit.findings() == []


def test_a_stream_out_of_order_is_refused() -> None:
    audit, log = Audit(RULES), hosts(2)
    audit.feed(log.facts[1])

    for seq in (0, 1):
        with pytest.raises(ValueError, match=f"HOSTS {seq + 1} comes after 2"):
            audit.feed(log.facts[seq])


def test_it_shares_no_code_with_the_deciders() -> None:
    imported = set()
    for source in Path(services.ops.audit.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)

    ours = {module for module in imported if module and module.startswith(("libs", "services"))}
    assert all(module.startswith(("libs.events", "libs.config", "services.ops.audit")) for module in ours)


def test_any_suffix_of_a_good_log_passes() -> None:
    log = good_log()
    for cut in range(1, len(log.facts)):
        kept = log.facts[cut:]
        starts = {
            stream: min((f.seq for f in kept if f.stream == stream), default=last + 1) for stream, last in log.seqs.items()
        }
        audit = Audit(RULES, starts=starts)
        audit.feed_all(kept)

        assert audit.findings() == []


def test_a_suffix_still_finds_what_it_can_see() -> None:
    log = good_log()
    log.tick()
    log.down("h4")
    log.tick()
    log.assign("pay_a", "h4", reason="promote", backups=["h4"])
    audit = Audit(RULES, starts={Stream.HOSTS: 8, Stream.MAPS: 3, Stream.ASSIGNMENTS: 6})
    audit.feed_all(
        fact for fact in log.facts if fact.seq >= {Stream.HOSTS: 8, Stream.MAPS: 3, Stream.ASSIGNMENTS: 6}[fact.stream]
    )

    assert {finding.invariant for finding in audit.findings()} == {"backups", "host", "orphan"}


def test_last_words_below_the_start_count_as_state() -> None:
    log = hosts(2)
    log.down("h2")
    log.up("h1", slots=3)
    log.assign("pay_a", "h2")
    audit = Audit(RULES, starts={Stream.HOSTS: 4})
    audit.feed_all(fact for fact in log.facts if (fact.stream, fact.seq) != (Stream.HOSTS, 1))

    assert {finding.invariant for finding in audit.findings()} == {"host", "orphan"}


def test_what_was_decided_on_facts_not_given_is_counted_and_not_accused() -> None:
    log = hosts()
    log.assign("pay_a", "h1")
    audit = Audit(RULES)
    audit.feed_all(fact for fact in log.facts if fact.stream == Stream.ASSIGNMENTS)

    assert audit.findings() == []
    assert (audit.decisions, audit.unjudged) == (1, 1)


def test_slots_are_not_judged_where_the_basis_lies_below_the_start() -> None:
    log = full()
    log.assign("pay_d", None)
    basis = log.basis()
    log.assign("pay_a", None, reason="idle")  # below the start and not given
    log.assign("pay_c", None)
    log.assign("pay_d", "h1", basis=basis, decider="scorer-2")
    audit = Audit(RULES, starts={Stream.ASSIGNMENTS: 5})
    audit.feed_all(fact for fact in log.facts if fact.stream == Stream.HOSTS or fact.seq != 4)

    assert audit.findings(T0) == []
    assert audit.unjudged == 0


def test_other_streams_are_ignored() -> None:
    log = hosts()
    log.say(Stream.METRICS, None)

    assert invariants(log) == []


def test_a_finding_reads_as_a_sentence() -> None:
    log = hosts()
    log.assign("prontera", "h1")

    assert str(audited(log)[0]) == "eligible: map.assign.prontera #1: gives a host a map that the settings keep on the VPS"
