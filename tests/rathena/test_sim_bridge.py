"""The bridge's core in a made-up world where everything breaks: what must hold on the way, and where everybody ends."""

import os

import pytest

from tests.rathena.sim_chaos import run

SEEDS = 2_000 if os.environ.get("KAFRA_PROVE") else 200
PART = 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, PART))
def test_whoever_is_in_the_game_ends_where_his_map_is_served_and_no_stale_save_passes(first: int) -> None:
    for seed in range(first, first + PART):
        run(seed)


def test_a_seed_tells_the_same_story_again() -> None:
    assert list(run(7).world.story) == list(run(7).world.story)
