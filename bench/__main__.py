"""python -m bench [--quick] [--only NAME] [--repeat N]: one JSON document on stdout, progress on stderr.

Each figure of Kafra is measured in turns with the bare NATS pipeline, in the same run, on the same machine; both are medians
of the repeats. Ratios mean something, single figures only on this machine at this hour.
"""

import argparse
import json
from collections.abc import Awaitable, Callable

import uvloop

from bench.beating import beating, carrying
from bench.bridging import bridging
from bench.choosing import choosing
from bench.dialling import dialling
from bench.entering import entering
from bench.failing import failing
from bench.figures import Figure
from bench.linking import linking
from bench.machine import machine
from bench.parts import following, submitting
from bench.plan import Plan
from bench.rebuilding import rebuilding
from bench.relaying import relaying

REPEAT = 5
Measure = Callable[[Plan], Awaitable[list[Figure]]]
BENCHES: dict[str, Measure] = {
    "enter": entering,
    "down": failing,
    "start": rebuilding,
    "submit": submitting,
    "follow": following,
    "heartbeats": beating,
    "fleet": carrying,
    "choose": choosing,
    "relay": relaying,
    "bridge": bridging,
    "link": linking,
    "dialback": dialling,
}
"""A new bench goes here."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed, each figure beside the bare NATS pipeline.")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, 2 repeats: does it run at all")
    parser.add_argument("--only", action="append", choices=BENCHES, metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--repeat", type=int, metavar="N", help=f"repeats; default {REPEAT}")
    given = parser.parse_args()
    plan = Plan(given.repeat or (2 if given.quick else REPEAT), given.quick)
    print(json.dumps(uvloop.run(_run(plan, given.only or list(BENCHES))), indent=2))


async def _run(plan: Plan, names: list[str]) -> dict[str, object]:
    before = machine()
    figures = [figure for name in names for figure in await BENCHES[name](plan)]
    missed = [figure.name for figure in figures if figure.ok is False]
    return {
        "machine": before,
        "repeat": plan.repeat,
        "quick": plan.quick,
        "missed": missed,
        "figures": [figure.as_dict() for figure in figures],
    }


if __name__ == "__main__":
    main()
