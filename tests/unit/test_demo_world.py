"""The demo's map graph: what the data promises, and what is said when it is missing."""

from collections import Counter

import pytest

from libs.events import MapName, is_name
from services.ops.demo import world_map as room
from services.ops.demo.recording import recorded_accounts, recording
from services.ops.demo.world_map import DataMissing, Map, Warp, WorldMap, read_data, world_map


def test_the_whole_stock_world_is_there() -> None:
    world = world_map()

    assert len(world.maps) == 1271
    assert sum(map_.loaded for map_ in world.maps.values()) == 1241
    assert len(world.of_category("field")) == 167
    assert len(world.of_category("town")) == 34


def test_it_is_read_once() -> None:
    assert world_map() is world_map()


def test_every_map_name_may_be_a_subject_token_and_every_map_has_a_size() -> None:
    for map_ in world_map().maps.values():
        assert is_name(map_.name)
        assert map_.width > 0
        assert map_.height > 0


def test_every_warp_begins_and_ends_within_a_loaded_map() -> None:
    world = world_map()
    warps = [warp for name in world.maps for warp in world.warps_into(name)]

    assert len(warps) == 1934
    for warp in warps:
        here, there = world.maps[warp.from_map], world.maps[warp.to_map]
        assert here.loaded
        assert there.loaded
        assert warp.from_map != warp.to_map
        assert 0 <= warp.x < here.width
        assert 0 <= warp.y < here.height
        assert 0 <= warp.to_x < there.width
        assert 0 <= warp.to_y < there.height


def test_warps_are_found_from_both_ends() -> None:
    world = world_map()
    from_prontera = world.neighbours(MapName("prontera"))

    assert MapName("prt_fild08") in from_prontera
    for warp in world.warps_between(MapName("prontera"), MapName("prt_fild08")):
        assert warp in world.warps_into(MapName("prt_fild08"))


def test_one_walks_from_prontera_to_three_hundred_maps() -> None:
    world = world_map()
    seen = {MapName("prontera")}
    edge = list(seen)
    while edge:
        new = [way for way in world.neighbours(edge.pop()) if way not in seen]
        seen.update(new)
        edge += new

    assert len(seen) > 300


def test_maps_not_loaded_and_warps_within_a_map_are_no_way() -> None:
    names = ("a", "b", "closed")
    maps = [Map(MapName(name), "field", 10, 10, name != "closed", False) for name in names]
    warps = [Warp(MapName("a"), 1, 1, MapName(to), 2, 2) for to in names]

    world = WorldMap(maps, warps)

    assert world.neighbours(MapName("a")) == ["b"]
    assert world.neighbours(MapName("b")) == []
    assert not world.is_loaded(MapName("closed"))
    assert not world.is_loaded(MapName("unheard_of"))


def test_missing_data_names_the_file_and_the_remedy() -> None:
    with pytest.raises(DataMissing, match=r"services/ops/demo/data/gone\.json\.gz cannot be read .*install kafra again"):
        read_data("gone.json.gz")


def test_data_that_is_no_gzip_is_missing_data() -> None:
    with pytest.raises(DataMissing, match=r"README\.md"):
        read_data("README.md")


def test_missing_maps_stop_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> str:
        raise DataMissing(name, "no such file")

    monkeypatch.setattr(room, "read_data", gone)

    with pytest.raises(DataMissing):
        room.world_map.__wrapped__()


def test_the_recording_has_every_enter_and_leave() -> None:
    movements = recording()

    assert len(movements) == 1168
    assert sum(movement.enters for movement in movements) == 584
    assert len(recorded_accounts()) == 8
    assert [movement.t_ms for movement in movements] == sorted(movement.t_ms for movement in movements)


def test_the_recording_is_a_story_without_gaps() -> None:
    where: dict[int, MapName | None] = dict.fromkeys(recorded_accounts())
    heading: dict[int, MapName | None] = dict.fromkeys(recorded_accounts())
    for movement in recording():
        account = movement.account_id
        if movement.enters:
            assert where[account] is None
            assert heading[account] in {None, movement.map}
            where[account] = movement.map
        else:
            assert where[account] == movement.map
            where[account], heading[account] = None, movement.other

    assert set(where.values()) == {None}
    assert Counter(m.account_id for m in recording() if not m.enters and m.other is None) == dict.fromkeys(
        recorded_accounts(), 1
    )
