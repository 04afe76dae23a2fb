"""The demo's players keep the laws of the real game: warps, one place at a time, the census."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events import MapCensus, MapEnter, MapLeave, MapName, Region, decode, encode, subject_of
from services.ops.demo.census import Censuses
from services.ops.demo.players import WALKER_ACCOUNT_FIRST, PlayerEvent, Players
from services.ops.demo.recording import recorded_accounts, recording
from services.ops.demo.walker import REGION_WEIGHTS, Habits
from services.ops.demo.world_map import Map, Warp, WorldMap, world_map

START_MS = 1_700_000_000_000
DEMO_MS = 45_000


def play(seed: int, *, until_ms: int = DEMO_MS, step_ms: int = 250, **options: float) -> tuple[list[PlayerEvent], Players]:
    players = Players(world_map(), random.Random(seed), start_ms=START_MS, **options)  # type: ignore[arg-type]
    events: list[PlayerEvent] = []
    for now_ms in range(START_MS, START_MS + until_ms + 1, step_ms):
        events += players.advance(now_ms)
    return events, players


@pytest.fixture(scope="module", params=[1, 7])
def story(request: pytest.FixtureRequest) -> tuple[list[PlayerEvent], Players]:
    return play(request.param)


def walks(events: list[PlayerEvent]) -> Iterator[MapEnter]:
    return (event for event in events if isinstance(event, MapEnter) and event.account_id >= WALKER_ACCOUNT_FIRST)


def test_thousands_enter_in_a_demo(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    enters = [event for event in events if isinstance(event, MapEnter)]

    assert 3_000 < len(enters) < 15_000
    assert len({event.account_id for event in enters}) == 1000
    assert len({event.char_id for event in enters}) == 1000
    assert len({event.map for event in enters}) > 200


def test_events_come_in_order_of_time(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story

    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert events[0].at_ms >= START_MS
    assert events[-1].at_ms <= START_MS + DEMO_MS


def test_a_walker_follows_a_warp_or_logs_in_at_a_town(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    world = world_map()
    login_points = Habits(world, random.Random(0)).login_points
    for enter in walks(events):
        warps = world.warps_between(enter.from_map, enter.map) if enter.from_map else world.warps_into(enter.map)
        assert (enter.x, enter.y) in {(warp.to_x, warp.to_y) for warp in warps}
        assert enter.from_map or enter.map in login_points


def test_a_player_is_on_one_map_or_offline_and_leaves_before_entering(story: tuple[list[PlayerEvent], Players]) -> None:
    events, players = story
    where: dict[int, MapName] = {}
    heading: dict[int, tuple[MapName, int]] = {}
    regions: dict[int, Region] = {}
    for event in events:
        if isinstance(event, MapEnter):
            assert event.account_id not in where
            assert heading.pop(event.account_id, (event.map, event.at_ms)) == (event.map, event.at_ms)
            assert regions.setdefault(event.account_id, event.region) == event.region
            where[event.account_id] = event.map
        elif isinstance(event, MapLeave):
            assert where.pop(event.account_id) == event.map
            if event.to_map is not None:
                heading[event.account_id] = event.to_map, event.at_ms

    assert not heading
    counted = Counter((map_, regions[account]) for account, map_ in where.items())
    assert counted == {(map_, region): n for map_, by in players.population().items() for region, n in by.items()}


def test_cells_lie_within_the_map(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    for event in events:
        if isinstance(event, MapEnter):
            map_ = world_map().maps[event.map]
            assert 0 <= event.x < map_.width
            assert 0 <= event.y < map_.height


def test_a_census_is_the_truth_when_said_and_at_most_once_a_second(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    true: dict[MapName, Counter[Region]] = {}
    region_of: dict[int, Region] = {}
    said: dict[MapName, MapCensus] = {}
    for event in events:
        if isinstance(event, MapEnter):
            region_of[event.account_id] = event.region
            true.setdefault(event.map, Counter())[event.region] += 1
        elif isinstance(event, MapLeave):
            true[event.map][region_of[event.account_id]] -= 1
        else:
            assert event.players == +true[event.map]
            assert event.map not in said or event.at_ms - said[event.map].at_ms >= 1000
            assert event.map not in said or event.players != said[event.map].players
            said[event.map] = event

    assert len(said) > 200


def test_a_census_is_never_behind_the_population_for_a_second() -> None:
    players = Players(world_map(), random.Random(3), start_ms=START_MS, count=400)
    last: dict[MapName, MapCensus] = {}
    for now_ms in range(START_MS, START_MS + DEMO_MS, 100):
        last.update({event.map: event for event in players.advance(now_ms) if isinstance(event, MapCensus)})
        population = players.population()
        behind = {map_ for map_, census in last.items() if census.players != population.get(map_, {})}

        assert set(population) <= set(last)
        assert all(now_ms - last[map_].at_ms < 1000 for map_ in behind)


def test_restating_says_all_maps_and_keeps_the_gap() -> None:
    players = Players(world_map(), random.Random(5), start_ms=START_MS, count=300)
    before = players.advance(START_MS + 20_000)
    said = {event.map: event.at_ms for event in before if isinstance(event, MapCensus)}

    restated = players.restate(START_MS + 20_000)
    after = players.advance(START_MS + 23_000)

    fresh = {map_ for map_, at_ms in said.items() if START_MS + 20_000 - at_ms < 1000}
    assert {census.map for census in restated} == set(said) - fresh
    assert all(census.players == players.population().get(census.map, {}) for census in players.restate(START_MS + 23_000))
    times: dict[MapName, int] = {}
    for event in [*before, *restated, *after]:
        if isinstance(event, MapCensus):
            assert event.at_ms - times.get(event.map, 0) >= 1000
            times[event.map] = event.at_ms


def test_restating_asks_for_the_present() -> None:
    players = Players(world_map(), random.Random(5), start_ms=START_MS, count=10)
    players.advance(START_MS + 10)

    with pytest.raises(AssertionError, match="advance to now_ms first"):
        players.restate(START_MS + 11)


def test_time_does_not_run_backwards() -> None:
    players = Players(world_map(), random.Random(5), start_ms=START_MS, count=10)
    players.advance(START_MS + 10)

    with pytest.raises(AssertionError, match="backwards"):
        players.advance(START_MS + 9)


def test_the_same_seed_gives_the_same_events_however_often_asked() -> None:
    assert play(11, count=200, step_ms=45_000)[0] == play(11, count=200, step_ms=90)[0]


def test_another_seed_gives_other_events() -> None:
    assert play(11, count=50)[0] != play(12, count=50)[0]


def test_the_recorded_accounts_move_as_recorded() -> None:
    events, _ = play(1, count=8, pace=20.0, until_ms=30_000)
    first_showing = [event for event in events if not isinstance(event, MapCensus)][:1168]

    assert [(e.at_ms - START_MS, e.account_id, e.map, isinstance(e, MapEnter)) for e in first_showing] == [
        (int(m.t_ms / 20), m.account_id, m.map, m.enters) for m in recording()
    ]
    assert {event.account_id for event in first_showing} == set(recorded_accounts())


def test_the_recording_is_shown_again() -> None:
    events, _ = play(1, count=8, pace=20.0, until_ms=65_000)
    logins = Counter(e.account_id for e in events if isinstance(e, MapEnter) and e.from_map is None)

    assert set(logins) == set(recorded_accounts())
    assert min(logins.values()) >= 2


def test_regions_have_different_weights(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    regions = Counter({e.account_id: e.region for e in events if isinstance(e, MapEnter)}.values())

    assert list(REGION_WEIGHTS) == ["eu", "na", "sa", "asia"]
    for region, weight in REGION_WEIGHTS.items():
        assert abs(regions[region] / 1000 - weight) < 0.06


def test_most_players_are_out_hunting(story: tuple[list[PlayerEvent], Players]) -> None:
    _, players = story
    where = Counter[str]()
    for map_, by_region in players.population().items():
        where[world_map().category(map_)] += sum(by_region.values())

    assert (where["field"] + where["dungeon"]) / where.total() > 0.75
    assert where["dungeon"] / where.total() > 0.1


def test_stays_last_seconds_to_minutes_of_the_game() -> None:
    habits = Habits(world_map(), random.Random(2))
    stays_s = sorted(habits.dwell_s(MapName("pay_fild03")) for _ in range(2000))

    assert stays_s[0] >= 4
    assert 15 < stays_s[1000] < 60
    assert stays_s[1900] > 180
    assert stays_s[-1] <= 1800


def test_people_log_out_and_in_again(story: tuple[list[PlayerEvent], Players]) -> None:
    events, _ = story
    logouts = sum(isinstance(event, MapLeave) and event.to_map is None for event in events)
    logins = sum(enter.from_map is None for enter in walks(events))

    assert logouts > 20
    assert logins > 1000


def test_where_no_warp_leads_on_a_walker_logs_out() -> None:
    town, pit = Map(MapName("town"), "town", 9, 9, True, False), Map(MapName("pit"), "dungeon", 9, 9, True, False)
    field = Map(MapName("field"), "field", 9, 9, True, False)
    ways = [Warp(town.name, 1, 1, pit.name, 2, 2), Warp(field.name, 1, 1, town.name, 3, 3)]
    players = Players(WorldMap([town, pit, field], ways), random.Random(1), start_ms=START_MS, count=30)

    events = [event for event in players.advance(START_MS + 200_000) if not isinstance(event, MapCensus)]

    walked = [event for event in events if event.account_id >= WALKER_ACCOUNT_FIRST]
    from_pit = [event for event in walked if isinstance(event, MapLeave) and event.map == "pit"]
    assert len(from_pit) > 10
    assert all(event.to_map is None for event in from_pit)


def test_players_log_in_only_where_a_warp_leads_in_and_out() -> None:
    town, island = Map(MapName("town"), "town", 9, 9, True, False), Map(MapName("island"), "town", 9, 9, True, False)
    ways = [Warp(town.name, 1, 1, island.name, 2, 2), Warp(island.name, 1, 1, town.name, 3, 3)]

    assert Habits(WorldMap([town, island], ways), random.Random(1)).login_points == ["town", "island"]
    with pytest.raises(AssertionError, match="no town"):
        Habits(WorldMap([town, island], ways[:1]), random.Random(1))


def test_next_due_tells_when_to_come_back() -> None:
    players = Players(world_map(), random.Random(4), start_ms=START_MS, count=30)
    for _ in range(300):
        due_ms = players.next_due_ms()
        assert due_ms is not None
        assert players.advance(due_ms - 1) == []
        players.advance(due_ms)
        later_ms = players.next_due_ms()
        assert later_ms is not None
        assert later_ms > due_ms


def test_nobody_never_does_anything() -> None:
    players = Players(world_map(), random.Random(4), start_ms=START_MS, count=0)

    assert players.next_due_ms() is None
    assert players.advance(START_MS + DEMO_MS) == []
    assert players.restate(START_MS + DEMO_MS) == []


def test_every_event_passes_the_codec() -> None:
    events, _ = play(9, count=60)
    for event in events:
        assert decode(subject_of(event), encode(event)) == event


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 700), st.sampled_from("ab"), st.sampled_from(["eu", "na"]), st.booleans()), max_size=60)
)
def test_whatever_changes_the_census_keeps_its_gap_and_ends_true(changes: list[tuple[int, str, str, bool]]) -> None:
    censuses, now_ms, said = Censuses(), START_MS, dict[str, MapCensus]()

    def listen(until_ms: int) -> None:
        while (due_ms := censuses.next_due_ms()) is not None and due_ms < until_ms:
            if (census := censuses.say_next()) is not None:
                assert census.map not in said or census.at_ms - said[census.map].at_ms >= 1000
                said[census.map] = census

    for wait_ms, name, area, comes in changes:
        now_ms += wait_ms
        listen(now_ms)
        map_, region = MapName(name), Region(area)
        if comes or censuses.population().get(map_, {}).get(region, 0):
            censuses.count(map_, region, +1 if comes else -1, now_ms)
    listen(now_ms + 1001)

    assert {name: census.players for name, census in said.items() if census.players} == censuses.population()
