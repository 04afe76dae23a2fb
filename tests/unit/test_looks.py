"""How a decider works: look, write, wait until all has settled and its own follower has passed it, look again (DESIGN D4)."""

from collections.abc import Callable

from libs.events import Basis, Cause, Fact, HostId, MapAssign, MapName, NodeName, Stream, decode, encode, subject_of
from libs.hosting.effects import Append, Committed, InDoubt, Refused
from libs.hosting.looks import BEHIND_MS_MAX, COOLING_MAX, TICK_MS, TRACES_MAX, DecidingCore, Look
from libs.hosting.world import MapState, World
from services.failover.core import Failover
from services.scorer.core import Scorer
from tests.unit.builders import T0, Log, assign, census, enter, host_up, rules

NAME = NodeName("scorer-1")
LATE = T0 + TICK_MS


class Scripted:
    """A `Decider` that remembers its looks and decides what `wants` says."""

    def __init__(self, wants: Callable[[Look], list[str]] = lambda look: []) -> None:
        self.world = World()
        self.looks: list[Look] = []
        self.wants = wants

    def on_fact(self, fact: Fact) -> None:
        self.world.apply(fact)

    def decide(self, look: Look) -> list[MapAssign]:
        self.looks.append(look)
        states = [self.world.map(MapName(name)) for name in self.wants(look)]
        return [look.assign(s, None, (), "enter", look.cause("MAPS", s.demand_seq)) for s in states]


def core_of(decider: Scripted) -> tuple[DecidingCore, Log]:
    """A core that is caught up, and the log it follows."""
    core = DecidingCore(decider, name=NAME, config="c" * 16)
    core.on_caught_up(T0)
    return core, Log(lambda fact: core.on_fact(fact, T0))


def wanting(*names: str) -> Callable[[Look], list[str]]:
    return lambda look: [] if look.tick else list(names)


def appends(core: DecidingCore, now_ms: int = T0) -> list[Append]:
    effects = list(core.step(now_ms))
    assert all(isinstance(effect, Append) for effect in effects)
    return effects  # type: ignore[return-value]


def test_nothing_is_decided_before_the_streams_are_read() -> None:
    decider = Scripted(wanting("m1"))
    core = DecidingCore(decider, name=NAME, config="c")
    core.on_fact(Fact(Stream.MAPS, 1, enter()), T0)

    assert list(core.step(LATE)) == []
    assert decider.looks == []

    core.on_caught_up(LATE)
    assert len(list(core.step(LATE))) == 1


def test_without_news_there_is_no_look() -> None:
    decider = Scripted()
    core, log = core_of(decider)

    list(core.step(T0))
    list(core.step(T0 + 1))
    assert len(decider.looks) == 1

    log.say(enter())
    list(core.step(T0 + 2))
    assert len(decider.looks) == 2


def test_a_look_states_its_time_basis_and_name_and_writes_what_it_read() -> None:
    decider = Scripted(wanting("m1", "m2"))
    core, log = core_of(decider)
    log.say(host_up(), enter("m1"), enter("m2"), assign("m2", None))

    one, two = appends(core)

    assert decider.looks == [Look("scorer-1.0", T0, False, Basis(1, 2, 1), NAME, "c" * 16)]
    assert (one.expected, two.expected) == (0, 1)
    assert (one.event.at_ms, one.event.look, one.event.basis) == (T0, "scorer-1.0", Basis(1, 2, 1))


def test_there_is_one_look_at_a_time() -> None:
    decider = Scripted(wanting("m1", "m2"))
    core, log = core_of(decider)
    one, two = appends(core)

    log.say(enter("m3"))
    assert list(core.step(LATE)) == []
    core.on_settled(one, InDoubt("timeout"), T0)
    assert list(core.step(LATE)) == []
    core.on_settled(two, InDoubt("timeout"), T0)

    assert len(list(core.step(LATE))) == 2
    assert decider.looks[-1].id == "scorer-1.1"


def test_after_a_commit_behind_others_it_waits_for_its_own_follower() -> None:
    decider = Scripted(wanting("m1"))
    core, log = core_of(decider)
    (write,) = appends(core)

    core.on_settled(write, Committed(2), T0)
    log.say(assign("m9"))
    assert list(core.step(LATE)) == []

    log.say(write.event)
    assert len(list(core.step(LATE))) == 1


def test_a_commit_that_follows_what_it_has_read_is_read_already() -> None:
    core, log = core_of(Scripted(wanting("m1")))
    (write,) = appends(core)

    core.on_settled(write, Committed(1), T0)
    (again,) = appends(core, LATE)

    assert core.world.map(MapName("m1")).assign == write.event
    assert again.expected == again.event.basis.assignments == 1

    log.say(write.event)  # the follower brings it later
    assert core.world.assignments_seq == 1


def test_the_follower_may_be_first() -> None:
    core, log = core_of(Scripted(wanting("m1")))
    (write,) = appends(core)

    log.say(write.event)
    assert list(core.step(LATE)) == []
    core.on_settled(write, Committed(1), T0)

    assert len(list(core.step(LATE))) == 1


def test_refused_it_reads_what_was_written_and_decides_again() -> None:
    core, log = core_of(Scripted(wanting("m1")))
    (write,) = appends(core)

    core.on_settled(write, Refused(last=2), T0)
    log.say(assign("m9"))
    assert list(core.step(LATE)) == []
    log.say(assign("m1"))

    (again,) = appends(core, LATE)
    assert again.expected == 2


def test_a_last_message_that_cannot_be_read_is_written_over_instead_of_refusing_for_ever() -> None:
    core, log = core_of(Scripted(wanting("m1")))
    log.junk(Stream.ASSIGNMENTS)
    (write,) = appends(core)
    assert write.expected == 0

    core.on_settled(write, Refused(last=1), T0)
    (again,) = appends(core)
    assert again.expected == 1

    core.on_settled(again, Committed(2), T0)
    log.say(again.event)
    (later,) = appends(core)
    assert later.expected == 2


def test_it_waits_until_it_has_read_what_the_decider_of_an_assignment_had_read() -> None:
    core, log = core_of(Scripted(wanting("m1")))

    log.say(assign("m2", basis=Basis(hosts=1, maps=2, assignments=0)))
    assert list(core.step(LATE)) == []
    log.say(enter(), enter())
    assert list(core.step(LATE)) == []
    log.say(host_up())

    assert len(list(core.step(LATE))) == 1


def test_in_doubt_it_looks_again_at_once_for_compare_and_set_lets_one_win() -> None:
    core, _ = core_of(Scripted(wanting("m1")))
    (write,) = appends(core)

    core.on_settled(write, InDoubt("timeout"), T0)

    assert [again.expected for again in appends(core)] == [0]


def test_a_tick_comes_every_quarter_second_and_goes_before_the_news() -> None:
    decider = Scripted()
    core, log = core_of(decider)

    for at_ms in (T0, T0 + TICK_MS - 1, T0 + TICK_MS, T0 + TICK_MS + 1, T0 + 2 * TICK_MS):
        log.say(enter())
        list(core.step(at_ms))

    ticks = [(look.at_ms - T0, look.tick) for look in decider.looks]
    assert ticks == [(0, False), (249, False), (250, True), (250, False), (251, False), (500, True), (500, False)]


def test_news_wait_while_a_tick_writes() -> None:
    decider = Scripted(lambda look: ["m1"])
    core, _ = core_of(decider)

    (write,) = appends(core, LATE)
    assert write.event.cause == Cause(tick_ms=LATE)
    core.on_settled(write, InDoubt("timeout"), LATE)

    (write,) = appends(core, LATE)
    assert write.event.cause == Cause(stream="MAPS", seq=0)


def test_the_trace_of_the_cause_is_passed_on() -> None:
    core, log = core_of(Scripted(wanting("m1", "m2")))
    log.say(enter("m1"), trace="00-one")
    log.say(enter("m2"))

    assert [write.trace for write in appends(core)] == ["00-one", None]


def test_traces_remembered_are_bounded() -> None:
    core, log = core_of(Scripted())

    for _ in range(TRACES_MAX + 5):
        log.say(census(), trace="00-t")

    assert len(core._traces) == TRACES_MAX


def test_a_decision_carries_tenure_and_since_on_only_where_the_server_stays() -> None:
    look = Look("l", T0 + 9, False, Basis(0, 0, 7), NAME, "c")
    state = MapState(MapName("m1"), assign=assign(since_ms=T0, tenure=3), assign_seq=5)

    kept = look.assign(state, HostId("h1"), [], "refill", Cause(tick_ms=1), keep_tenure=True)
    new = look.assign(state, HostId("h2"), [], "rebalance", Cause(tick_ms=1))

    assert (kept.tenure, kept.since_ms) == (3, T0)
    assert (new.tenure, new.since_ms) == (None, T0 + 9)


def test_cooling_is_carried_on_until_it_ends() -> None:
    look = Look("l", T0, False, Basis(0, 0, 0), NAME, "c")
    state = MapState(MapName("m1"), assign=assign(cooling={"h1": T0, "h2": T0 + 1}))

    decided = look.assign(state, None, [], "failover", Cause(tick_ms=1), cooling={HostId("h3"): T0 + 2})

    assert decided.cooling == {"h2": T0 + 1, "h3": T0 + 2}


def test_a_map_that_fails_everywhere_can_still_be_written_and_read() -> None:
    look = Look("l", T0, False, Basis(0, 0, 0), NAME, "c")
    state = MapState(MapName("m1"), assign=assign(cooling={f"h{n}": T0 + 1 + n for n in range(COOLING_MAX)}))

    decided = look.assign(state, None, [], "failover", Cause(tick_ms=1), cooling={HostId("new"): T0 + 999})

    assert decode(subject_of(decided), encode(decided)) == decided
    assert set(decided.cooling) == {"new"} | {f"h{n}" for n in range(1, COOLING_MAX)}


def look_at(world: World, *, tick: bool = False) -> Look:
    return Look("l", T0, tick, world.basis, NAME, "c")


def test_a_look_decides_at_most_as_much_as_was_agreed_and_the_next_goes_on(monkeypatch) -> None:
    monkeypatch.setattr("services.scorer.core.DECISIONS_MAX", 3)
    monkeypatch.setattr("services.failover.core.DECISIONS_MAX", 3)
    names = [f"m{n}" for n in range(5)]
    entered, lost = Scorer(rules()), Failover(rules())
    log = Log(entered.on_fact)
    log.say(*map(enter, names))
    Log(lost.on_fact).say(*(assign(name, "gone") for name in names))

    first = list(entered.decide(look_at(entered.world)))
    log.say(*first)
    second = list(entered.decide(look_at(entered.world)))

    assert [one.map for one in first + second] == names
    assert [one.map for one in lost.decide(look_at(lost.world))] == names[:3]


def test_what_deciders_write_can_be_read() -> None:
    scorer = Scorer(rules())
    Log(scorer.on_fact).say(*(host_up(f"h{n}", slots=n) for n in range(12)), enter("m1"), enter("town"))

    for decision in scorer.decide(look_at(scorer.world)):
        assert decode(subject_of(decision), encode(decision)) == decision


def test_a_decider_waits_for_what_others_had_read_but_not_for_ever() -> None:
    core, log = core_of(Scripted(wanting("m1")))
    log.say(enter("m1"), assign("m2", None, basis=Basis(99, 0, 0)))

    assert list(core.step(T0)) == []
    assert list(core.step(T0 + BEHIND_MS_MAX - 1)) == []
    assert len(list(core.step(T0 + BEHIND_MS_MAX))) == 1
