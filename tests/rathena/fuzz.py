"""python -m tests.rathena.fuzz --seconds 600 | --seed N [--json]: storms on the cores of bridge and relay.

A failing seed prints itself and what to run to see it again; exit code 1.
"""

import argparse
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable

from tests.rathena import fuzz_bridge, fuzz_relay

STORMS: dict[str, Callable[[int], None]] = {"bridge": fuzz_bridge.run, "relay": fuzz_relay.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rathena.fuzz", description="Storms on bridge and relay.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seconds", type=float, help="as many seeds as go into so many seconds")
    which.add_argument("--seed", type=int, help="one seed")
    parser.add_argument("--first", type=int, default=1, help="with --seconds: the first seed")
    parser.add_argument("--json", action="store_true", help="the result as a JSON line")
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else itertools.count(given.first)
    end_s = time.monotonic() + (given.seconds or 0)
    failed, done = [], 0
    for seed in seeds:
        if given.seed is None and time.monotonic() >= end_s:
            break
        done += 1
        failed += [(name, seed) for name in STORMS if not _stands(name, seed)]
    if given.json:
        _say(json.dumps({"seeds": done, "failed": failed}))
    else:
        _say(f"{done} seeds, {len(failed)} failed")
    return 1 if failed else 0


def _stands(name: str, seed: int) -> bool:
    try:
        STORMS[name](seed)
    except Exception:  # noqa: BLE001 - whatever leaves a core is what is looked for
        sys.stderr.write(f"{name}, seed {seed}:\n{traceback.format_exc()}python -m tests.rathena.fuzz --seed {seed}\n")
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
