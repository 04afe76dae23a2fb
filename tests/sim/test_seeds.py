"""Every seed holds: 200 in CI, 5,000 with KAFRA_PROVE=1. And a seed is a run: the same bytes each time."""

import json
import os
import subprocess
import sys

import pytest

from tests.sim.run import run

PROVE = bool(os.environ.get("KAFRA_PROVE"))
SEEDS = 5_000 if PROVE else 200
CHUNK = 25 if PROVE else 10
"""Small enough that two workers end at about the same time."""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_every_invariant_holds(first: int) -> None:
    reports = [run(seed) for seed in range(first, first + CHUNK)]

    failed = [report.text() for report in reports if report.violation is not None]

    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize("seed", [3, 19])
def test_the_same_seed_writes_the_same_bytes_in_any_process(seed: int) -> None:
    hashes = {_hash_in_a_process_of_its_own(seed, hash_seed) for hash_seed in ("1", "2")} | {run(seed).hash}

    assert len(hashes) == 1


def test_different_seeds_are_different_runs() -> None:
    assert run(1).hash != run(2).hash


def _hash_in_a_process_of_its_own(seed: int, hash_seed: str) -> str:
    """hash_seed: of Python's own string hashes, which order its sets."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--seed", str(seed), "--json"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["hash"]
