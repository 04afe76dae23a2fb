"""Which connections stand between a relay and hosts, decided without a socket."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from libs.link.messages import STANDING_MAX, STANDING_PER_HOST, Wished
from services.relay.standing import BACK_OFF_MS, CALM_MS, OPENING_MAX, SURPLUS_MS, Standing, Towards

KEYS = ["11" * 32, "22" * 32]
HOSTS = ["one", "two", "three"]


def wished(host: str = "one", count: int = 4, key: str = KEYS[0]) -> Wished:
    return Wished(host=host, key=key, count=count)


@dataclass
class World:
    """A relay whose connections are numbers. closed: those it was told to close."""

    standing: Standing[int] = field(default_factory=Standing)
    now_ms: int = 1_000
    numbers: int = 0
    closed: list[int] = field(default_factory=list)

    def wish(self, *hosts: Wished) -> None:
        self.standing.wish(hosts)

    def asked(self) -> list[Towards[int]]:
        return self.standing.to_open(self.now_ms)

    def open(self, towards: Towards[int]) -> int:
        self.numbers += 1
        self.standing.opened(towards, self.numbers)
        return self.numbers

    def fill(self) -> int:
        """Opens as long as anything is asked for; how many."""
        before = self.numbers
        while asked := self.asked():
            for towards in asked:
                self.open(towards)
        return self.numbers - before

    def take(self, host: str = "one", key: str = KEYS[0]) -> int | None:
        return self.standing.take(host, key, self.now_ms)

    def after(self, ms: int) -> list[int]:
        self.now_ms += ms
        closed = self.standing.to_close(self.now_ms)
        self.closed += closed
        return closed


def filled(*hosts: Wished) -> World:
    world = World()
    world.wish(*hosts)
    world.fill()
    return world


def test_so_many_stand_as_are_wished_and_few_are_made_at_once() -> None:
    world = World()
    world.wish(wished(count=20), wished("two", 5))

    asked = world.asked()

    assert [towards.wished.host for towards in asked] == ["one"] * OPENING_MAX
    assert world.asked() == []
    for towards in asked:
        world.open(towards)
    assert OPENING_MAX + world.fill() == len(world.standing) == 25


def test_a_player_gets_the_newest_of_that_very_process() -> None:
    world = filled(wished(count=3))

    assert world.take(key=KEYS[1]) is None
    assert world.take("two") is None
    assert [world.take() for _ in range(4)] == [3, 2, 1, None]


def test_what_was_used_is_made_up_for_when_the_switch_is_over() -> None:
    world = filled(wished(count=3), wished("two", 3))
    world.wish(wished(count=3), wished("two", 9))
    world.take()

    world.after(CALM_MS - 1)
    assert world.asked() == []
    world.after(1)
    assert world.fill() == 1 + 6


def test_what_is_used_all_the_time_is_made_up_for_all_the_same() -> None:
    """Players who walk through portals use them too, one every moment."""
    world = filled(wished(count=STANDING_PER_HOST))

    least = STANDING_PER_HOST
    for _ in range(200):
        world.take()
        world.after(CALM_MS // 2)
        world.fill()
        least = min(least, len(world.standing))

    assert least > STANDING_PER_HOST // 2


def test_who_is_needed_most_is_asked_first_whoever_was_known_before() -> None:
    world = filled(wished("two", 1))
    world.wish(wished("one", 2), wished("two", OPENING_MAX + 1))

    assert [towards.wished.host for towards in world.asked()] == ["one"] * 2 + ["two"] * (OPENING_MAX - 2)


def test_more_than_wished_are_kept_for_a_while() -> None:
    world = filled(wished(count=5))
    world.wish(wished(count=2))

    assert world.after(0) == world.after(SURPLUS_MS - 1) == []
    assert world.after(1) == [1, 2, 3]
    assert len(world.standing) == 2


def test_players_who_come_back_meanwhile_find_theirs() -> None:
    world = filled(wished(count=5))
    world.wish()
    world.after(SURPLUS_MS // 2)
    world.wish(wished(count=5))

    assert world.after(0) == world.after(2 * SURPLUS_MS) == []
    assert world.asked() == []
    assert world.take() == 5


def test_nothing_that_stands_towards_an_agent_of_before_is_used() -> None:
    world = World()
    world.wish(wished(count=3))
    first, late, _ = world.asked()
    world.open(first)

    world.wish(wished(key=KEYS[1], count=1))
    number = world.open(late)

    assert world.after(0) == [1, number]
    assert world.take() is None
    assert world.fill() == 1


def test_a_host_that_refuses_is_left_alone_then_asked_for_one() -> None:
    world = World()
    world.wish(wished(count=8), wished("two", 1))
    for towards in world.asked():
        world.standing.failed(towards, world.now_ms)

    assert [towards.wished.host for towards in world.asked()] == ["two"]
    waits = []
    for _ in range(9):
        waited = 0
        while not (asked := [towards for towards in world.asked() if towards.wished.host == "one"]):
            world.after(1_000)
            waited += 1_000
        assert len(asked) == 1
        waits.append(waited)
        world.standing.failed(asked[0], world.now_ms)
    assert waits[:3] == [BACK_OFF_MS[0], 2 * BACK_OFF_MS[0], 4 * BACK_OFF_MS[0]]
    assert waits[-1] == BACK_OFF_MS[1]

    world.after(BACK_OFF_MS[1])
    world.open(next(iter(world.asked())))
    assert len(world.standing) + world.fill() == 8


def test_where_one_does_not_answer_none_is_believed() -> None:
    world = filled(wished(count=3), wished("two", 1))
    world.take()

    world.standing.doubt("one")

    assert world.take() is None
    assert world.after(0) == [1, 2]
    assert world.take("two") is not None
    world.after(CALM_MS)
    assert world.fill() == 4


def test_one_that_ends_by_itself_is_made_again_a_little_later() -> None:
    world = filled(wished(count=2))

    world.standing.lost(2, world.now_ms)

    assert len(world.standing) == 1
    assert world.asked() == []
    world.after(BACK_OFF_MS[0])
    assert world.fill() == 1
    world.standing.lost(99, world.now_ms)


def test_a_host_that_takes_them_and_ends_them_does_not_keep_the_relay_busy() -> None:
    world = World()
    world.wish(wished(count=STANDING_PER_HOST))

    for _ in range(600):  # a minute
        for number in [world.open(towards) for towards in world.asked()]:
            world.standing.lost(number, world.now_ms)
        world.after(100)

    assert world.numbers <= (60_000 // BACK_OFF_MS[0] + 1) * (OPENING_MAX + 1)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, STANDING_PER_HOST), min_size=9, max_size=40))
def test_the_relay_never_holds_more_than_it_can(counts: list[int]) -> None:
    world = filled(*(wished(f"host_{number}", count) for number, count in enumerate(counts)))

    assert len(world.standing) == min(sum(counts), STANDING_MAX)


class AnyHow(RuleBasedStateMachine):
    """Whatever happens in whatever order, every connection is in one place, and in the end so many stand as are wished."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.opening: list[Towards[int]] = []
        self.used: set[int] = set()
        self.lost: set[int] = set()
        self.wishes: dict[str, Wished] = {}

    @rule(hosts=st.dictionaries(st.sampled_from(HOSTS), st.tuples(st.integers(1, 9), st.sampled_from(KEYS))))
    def wish(self, hosts: dict[str, tuple[int, str]]) -> None:
        self.wishes = {host: wished(host, count, key) for host, (count, key) in hosts.items()}
        self.world.wish(*self.wishes.values())

    @rule()
    def ask(self) -> None:
        self.opening += self.world.asked()

    @rule(data=st.data(), well=st.booleans())
    def answer(self, data: Any, well: bool) -> None:
        if self.opening:
            towards = self.opening.pop(data.draw(st.integers(0, len(self.opening) - 1)))
            if well:
                self.world.open(towards)
            else:
                self.world.standing.failed(towards, self.world.now_ms)

    @rule(host=st.sampled_from(HOSTS), key=st.sampled_from(KEYS))
    def take(self, host: str, key: str) -> None:
        if (taken := self.world.take(host, key)) is not None:
            assert taken not in self.used | self.lost | set(self.world.closed)
            self.used.add(taken)

    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        if alive := self._alive():
            number = data.draw(st.sampled_from(sorted(alive)))
            self.world.standing.lost(number, self.world.now_ms)
            self.lost.add(number)

    @rule(host=st.sampled_from(HOSTS))
    def doubt(self, host: str) -> None:
        self.world.standing.doubt(host)

    @rule(ms=st.sampled_from([0, 100, CALM_MS, SURPLUS_MS, BACK_OFF_MS[1]]))
    def wait(self, ms: int) -> None:
        self.world.after(ms)

    @invariant()
    def few_are_made_at_once(self) -> None:
        assert len(self.opening) <= OPENING_MAX

    @invariant()
    def nothing_is_closed_twice(self) -> None:
        assert len(self.world.closed) == len(set(self.world.closed))

    def teardown(self) -> None:
        """Left alone, what stands is what is wished, all else is closed, used or lost."""
        while self.opening:
            self.world.open(self.opening.pop())
        for _ in range(4):
            self.world.after(BACK_OFF_MS[1])
            self.world.fill()
        self.world.after(0)
        self.world.after(SURPLUS_MS)
        assert len(self.world.standing) == sum(wish.count for wish in self.wishes.values())
        assert len(self._alive()) == len(self.world.standing)

    def _alive(self) -> set[int]:
        return set(range(1, self.world.numbers + 1)) - self.used - self.lost - set(self.world.closed)


AnyHow.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnyHow = AnyHow.TestCase
