"""Supervision under any order of orders, links, exits and waits: one process a map, and none in the end."""

from hypothesis import given
from hypothesis import strategies as st

from libs.events import MapName
from services.agent.maps.core import Phase, Start, Supervision
from tests.unit.map_orders import DUNGEON, FIELD, ordered

NAMES = (FIELD, DUNGEON, MapName("gef_fild07"))
STEPS = st.one_of(
    st.tuples(st.just("obey"), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.sampled_from(["linked", "gone", "exit"]), st.sampled_from(NAMES)),
    st.tuples(st.just("heard"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.integers(0, 90_000)),
)


@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_there_is_one_process_a_map_and_none_in_the_end(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    core, now_ms, running, asked = Supervision(), 0, set(), set()

    def perform(effects: list) -> None:  # type: ignore[type-arg]
        for effect in effects:
            if isinstance(effect, Start):
                assert effect.map not in running
                running.add(effect.map)
            else:
                assert effect.map in running
                asked.add(effect.map)

    def exit_of(name: MapName) -> None:
        running.discard(name)
        asked.discard(name)
        perform(core.on_exit(name, "ended", now_ms))

    for step, *words in steps:
        match step:
            case "obey":
                perform(core.obey({name: ordered() for name in words[0]}, now_ms))
                assert set(core.reports()) >= words[0]
            case "wait":
                now_ms += words[0]
            case "exit" if words[0] in running:
                exit_of(words[0])
            case "linked" if words[0] in running:
                core.on_linked(words[0], now_ms)
            case "gone" if words[0] in running:
                core.on_gone(words[0], now_ms)
            case "heard" if words[0] in running:
                core.on_heard(words[0], now_ms)
                core.on_players(words[0], words[1])
        perform(core.advance(now_ms))
        assert running == {name for name, life in core.lives.items() if life.phase is not Phase.BROKEN}
        assert (due_ms := core.due_ms()) is None or due_ms > now_ms

    perform(core.end(now_ms))
    assert asked == running
    for name in [*running]:
        exit_of(name)
    assert core.lives == {}
    assert core.due_ms() is None
    assert running == set()
