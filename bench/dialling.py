"""A host that dials beside one whose port is open, each behind a relay of its own: what a player waits for.

The open one is a map-server that the relay connects to straight, in plain TCP, as the VPS's are. On loopback: what a long line
adds is no part of it (docs/adr/0023).
"""

import asyncio
import time

from bench.crossing import Crossing, Pair, dialled, pairs_of, ping_pong_us, relay
from bench.figures import Figure, Target, percentile, rounded
from bench.plan import Plan
from bench.relaying import TURNS, WALK, WALK_OK, closing, raise_file_limit

TRIPS = 500
ENTRIES = 60
"""Fewer than may stand (libs/link/messages.py): none is made anew while players come."""
TRIP = Target("at most", 4.0)
STOOD = Target("at most", 2.0)
ENTRY = Target("at most", 10.0)
"""Of a millisecond: a TLS handshake, a signature and a word over the bus are some six more, whatever the line."""
BARE_IS = "the same relay, straight to the map-server's open port"


async def dialling(plan: Plan) -> list[Figure]:
    raise_file_limit()
    trips: list[tuple[list[float], list[float]]] = []
    entries: list[tuple[list[float], list[float]]] = []
    stood: list[tuple[list[float], list[float]]] = []
    for number in range(plan.repeat):
        plan.say(f"dialback, {number + 1} of {plan.repeat}")
        async with dialled() as back, relay() as direct:
            trips.append(await _trips(plan, back, direct))
            entries.append(await _entries(plan, back, direct))
        async with dialled(plan.count(ENTRIES)) as back, relay() as direct:
            stood.append(await _entries(plan, back, direct))
    return [
        _figure("dialback.latency", "a walk and its answer, one at a time", trips, TRIP),
        _figure("dialback.entry", "a player's way into a map: from the client's first word to its load-end", entries, ENTRY),
        _figure("dialback.standing", "the same by a connection that stood", stood, STOOD),
    ]


async def _trips(plan: Plan, *ways: Crossing) -> tuple[list[float], list[float]]:
    """us; in short turns: whatever else the machine does, it does to both."""
    pairs = [(await pairs_of(way, 1))[0] for way in ways]
    samples: tuple[list[float], list[float]] = ([], [])
    with closing(pairs):
        for turn in range(TURNS):
            for sampled, (client, server) in zip(samples, pairs, strict=True):
                more = await asyncio.to_thread(ping_pong_us, client, server, WALK, WALK_OK, plan.count(TRIPS))
                sampled.extend(more if turn else [])
    return samples


async def _entries(plan: Plan, *ways: Crossing) -> tuple[list[float], list[float]]:
    """us; one player after the other, each way in turn."""
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(plan.count(ENTRIES)):
        for sampled, way in zip(samples, ways, strict=True):
            pair, took_us = await asyncio.to_thread(_entered, way)
            sampled.append(took_us)
            with closing([pair]):
                pass
    return samples


def _entered(way: Crossing) -> tuple[Pair, float]:
    started_s = time.perf_counter()
    pair = way.pair()
    return pair, (time.perf_counter() - started_s) * 1e6


def _figure(name: str, what: str, runs: list[tuple[list[float], list[float]]], target: Target) -> Figure:
    p50, p95 = ([[percentile(way, share) for way in run] for run in runs] for share in (0.5, 0.95))
    late = [back / direct for back, direct in p95]
    return Figure(
        name=name,
        what=f"{what}, p50",
        unit="us",
        kafra=[back for back, _ in p50],
        bare=[direct for _, direct in p50],
        target=target,
        bare_is=BARE_IS,
        details={
            "p95_us": [rounded(back) for back, _ in p95],
            "bare_p95_us": [rounded(direct) for _, direct in p95],
            "p95_ratio": [rounded(ratio) for ratio in late],
        },
    )
