"""replay verify: a log the deciders wrote is decided alike again; every kind of planted difference is found and named."""

from typing import Any

import msgspec
import pytest
from builders import T0, Log, assign, census, drain, enter, host_down, host_up, moved, rules

from libs.config import Settings
from libs.events import Basis, Candidate, Cause, ConfigApplied, Event, Fact, HostId, MapAssign, NodeName, Stream, Terms
from libs.hosting.effects import Append, Committed
from libs.hosting.looks import Decider, DecidingCore
from services.failover.core import Failover
from services.ops import replay
from services.ops.replay import BELOW_HORIZON, Report, verify
from services.scorer.core import Scorer

TICK_MS = 250


class Town:
    """A log and two real deciders that write it, one after the other, as their shells would drive them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = Log()
        self.now_ms = T0
        self._cores = [self._core(Scorer(settings), "scorer-1"), self._core(Failover(settings), "failover-1")]
        self.log.say(ConfigApplied(hash=settings.hash(), at_ms=T0, settings=settings.public()))
        self._told = 0
        self._tell()
        for core in self._cores:
            core.on_caught_up(self.now_ms)

    def say(self, *events: Event) -> None:
        for event in events:
            self.log.say(event)
            self.pass_ms(10)

    def pass_ms(self, ms: int) -> None:
        """Time passes and the deciders decide until they have nothing to do."""
        self.now_ms += ms
        busy = True
        while busy:
            busy = False
            self._tell()
            for core in self._cores:
                for effect in list(core.step(self.now_ms)):
                    assert isinstance(effect, Append)
                    fact = self.log.say(effect.event)
                    core.on_settled(effect, Committed(fact.seq), self.now_ms)
                    busy = True
                self._tell()

    def facts(self, stream: Stream) -> list[Fact]:
        return [fact for fact in self.log.facts if fact.stream is stream]

    def _core(self, decider: Decider, name: str) -> DecidingCore:
        return DecidingCore(decider, name=NodeName(name), config=self.settings.hash())

    def _tell(self) -> None:
        for fact in self.log.facts[self._told :]:
            for core in self._cores:
                core.on_fact(fact, self.now_ms)
        self._told = len(self.log.facts)


@pytest.fixture(scope="module")
def town() -> Town:
    """Enters, a death, a drain, a rolled back move, refills."""
    town = Town(rules(failover={"refill_interval_s": 1}))
    town.say(
        enter("town"), host_up("h1"), host_up("h2"), host_up("h3"), enter("m1"), census("m1", eu=3), enter("m2", region="us")
    )
    town.say(census("m2", us=2), enter("m3"), census("m3", eu=1))
    for host in ("h1", "h2", "h3"):
        town.say(host_up(host, ready_maps=["m1", "m2", "m3"]))
    town.say(host_down("h1"))
    town.say(drain("h2"))
    tenure = next(fact.seq for fact in town.facts(Stream.ASSIGNMENTS) if fact.event.map == "m3")
    town.say(moved("m3", tenure=tenure, outcome="rolled_back"), host_up("h1"))
    for _ in range(60):
        town.pass_ms(TICK_MS)
    return town


def log_of(town: Town, assignments: list[Fact] | None = None, horizon: Basis = replay.WHOLE) -> replay.Log:
    written = town.facts(Stream.ASSIGNMENTS) if assignments is None else assignments
    return replay.Log(town.facts(Stream.HOSTS), town.facts(Stream.MAPS), written, horizon)


def with_forged(town: Town, at: int, **changes: Any) -> list[Fact]:
    """The assignments, with changes in the one at this index."""
    facts = town.facts(Stream.ASSIGNMENTS)
    fact = facts[at]
    facts[at] = Fact(fact.stream, fact.seq, msgspec.structs.replace(fact.event, **changes), fact.stored_ms)
    return facts


def first_p2p(town: Town) -> int:
    return next(at for at, fact in enumerate(town.facts(Stream.ASSIGNMENTS)) if fact.event.host is not None)


def test_what_was_decided_is_decided_again(town: Town):
    written = [fact.event for fact in town.facts(Stream.ASSIGNMENTS)]
    progress: list[int] = []

    report = verify(log_of(town), progress.append)

    assert {event.reason for event in written} >= {"enter", "failover", "drain", "promote"}, "the town is eventful enough"
    assert report.differences == []
    assert report.skipped == {}
    assert report.decisions == len(written)
    assert report.deciders == 2
    assert progress[-1] == report.decisions


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", HostId("h9")),
        ("backups", [HostId("h9")]),
        ("reason", "operator"),
        ("tenure", 1),
        ("since_ms", T0 - 1),
        ("cause", Cause(stream="MAPS", seq=1)),
        ("score", 0.123456),
        ("candidates", [Candidate("h9", 0.5, Terms())]),
        ("refused", {"full": 9}),
        ("cooling", {"h9": T0}),
    ],
)
def test_a_decision_that_would_not_be_made_so_is_found_by_its_field(town: Town, field: str, value: object):
    at = first_p2p(town)
    forged = with_forged(town, at, **{field: value})

    (found,) = verify(log_of(town, forged)).differences

    assert (found.seq, found.field) == (forged[at].seq, field)
    assert found.committed == msgspec.to_builtins(value)
    assert f"ASSIGNMENTS {found.seq}: {found.map} by scorer-1" in str(found)
    assert f"{field} was" in str(found)


def test_a_host_instead_of_the_vps_is_found(town: Town):
    forged = with_forged(town, 0, kind="p2p", host=HostId("h1"))

    (found,) = verify(log_of(town, forged)).differences

    assert (found.map, found.field, found.committed, found.replayed) == ("town", "kind", "p2p", "vps")


def test_a_decision_nobody_would_have_made_is_found(town: Town):
    last = town.facts(Stream.ASSIGNMENTS)[-1]
    extra = msgspec.structs.replace(last.event, look="scorer-forged.0", decider=NodeName("scorer-forged"), map="m9")

    (found,) = verify(log_of(town, [*town.facts(Stream.ASSIGNMENTS), Fact(last.stream, last.seq + 1, extra)])).differences

    assert (found.decider, found.map, found.field, found.replayed) == ("scorer-forged", "m9", "decision", None)


def test_what_was_read_otherwise_is_decided_otherwise(town: Town):
    log = log_of(town)
    poorer = replay.Log([fact for fact in log.hosts if getattr(fact.event, "host", "") != "h3"], log.maps, log.assignments)

    assert verify(poorer).differences


def test_all_differences_or_the_first(town: Town):
    facts = town.facts(Stream.ASSIGNMENTS)
    forged = [Fact(f.stream, f.seq, msgspec.structs.replace(f.event, score=0.111111)) for f in facts]

    assert len(verify(log_of(town, forged)).differences) == 1
    every = verify(log_of(town, forged), first_only=False).differences
    assert len(every) > 1
    assert [found.seq for found in every] == sorted(found.seq for found in every)
    assert verify(log_of(town, forged)).differences == every[:1], "the first in the log, whoever decided it"


def skipped_of(town: Town, **changes: Any) -> Report:
    facts = town.facts(Stream.ASSIGNMENTS)
    return verify(log_of(town, [Fact(f.stream, f.seq, msgspec.structs.replace(f.event, **changes)) for f in facts]))


def test_an_unknown_decider_is_skipped_and_said(town: Town):
    report = skipped_of(town, decider=NodeName("oracle-1"))

    assert report.skipped == {"decider oracle-1 is not ours": len(town.facts(Stream.ASSIGNMENTS))}
    assert (report.decisions, report.differences) == (0, [])


def test_an_unknown_configuration_is_skipped_and_said(town: Town):
    report = skipped_of(town, config="f" * 16)

    assert report.skipped == {"configuration ffffffffffffffff unknown": len(town.facts(Stream.ASSIGNMENTS))}
    assert report.decisions == 0


def test_what_lies_below_the_horizon_is_skipped_and_said(town: Town):
    last = town.facts(Stream.ASSIGNMENTS)[-1].event
    assert isinstance(last, MapAssign)

    report = verify(log_of(town, horizon=Basis(last.basis.hosts + 1, 0, 0)))

    assert report.skipped == {BELOW_HORIZON: len(town.facts(Stream.ASSIGNMENTS))}
    assert report.decisions == 0


def test_what_cannot_be_read_is_no_decision(town: Town):
    facts = [*town.facts(Stream.ASSIGNMENTS), Fact(Stream.ASSIGNMENTS, 10_000, None)]

    assert verify(log_of(town, facts)).differences == []


def test_an_empty_log_has_no_difference():
    report = verify(replay.Log([], [], []))

    assert (report.decisions, report.looks, report.deciders, report.differences) == (0, 0, 0, [])


def test_a_made_up_assignment_of_a_known_decider_without_its_configuration_is_not_called_right():
    report = verify(replay.Log([], [], [Fact(Stream.ASSIGNMENTS, 1, assign("m1", "h1"))]))

    assert report.skipped == {"configuration 0000000000000000 unknown": 1}
