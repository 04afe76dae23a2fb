"""python -m tests.sim --seed 7 | --seeds 1..500 [--jobs 2] [--verbose] [--json]

Exit codes: 0 all hold, 1 a seed found a violation, 2 usage.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.sim.run import STORY_LINES, Report, run

VERBOSE_LINES = 100_000


def main() -> int:
    options = _options()
    seeds = [options.seed] if options.seed is not None else list(options.seeds)
    started_s = time.perf_counter()
    failed, totals, events, virtual_s = 0, Counter[str](), 0, 0.0
    for report in _reports(seeds, options.jobs, VERBOSE_LINES if options.verbose else STORY_LINES):
        failed += report.violation is not None
        totals += report.counts
        events, virtual_s = events + report.acts, virtual_s + report.virtual_s
        if options.json:
            _say(json.dumps({"seed": report.seed, "violation": report.violation, "hash": report.hash, "events": report.acts}))
        elif report.violation is not None or len(seeds) == 1:
            _say(report.text())
            if options.verbose and report.violation is None:
                _say("\n".join(report.story))
    took_s = time.perf_counter() - started_s
    if not options.json:
        _say(f"{len(seeds)} seeds, {failed} failed, {events:,} events, {virtual_s:,.0f} virtual s in {took_s:.1f} s")
        _say("  " + ", ".join(f"{name} {count:,}" for name, count in sorted(totals.items())))
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="The deterministic simulation: tests/sim/README.md"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one seed")
    which.add_argument("--seeds", type=_range, help="A..B, both included")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--verbose", action="store_true", help="the whole story, not its last lines")
    parser.add_argument("--json", action="store_true", help="a JSON line a seed")
    return parser.parse_args()


def _range(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last) + 1)


def _reports(seeds: list[int], jobs: int, lines: int) -> Iterator[Report]:
    if jobs <= 1 or len(seeds) == 1:
        yield from (run(seed, lines) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(partial(run, story_lines=lines), seeds, chunksize=4)


if __name__ == "__main__":
    sys.exit(main())
