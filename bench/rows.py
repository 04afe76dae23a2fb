"""What `make prove` proves. A later issue adds its row to ROWS, below, and the coroutine that measures it.

A row's coroutine gets a `Scale` and says what it found; a part that is missing or broken is a row that fails, never silence.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import percentile
from bench.player_rows import idle, package
from bench.proof import Proof, Row, Scale
from bench.running import Ended, command, junit_counts

SEEDS = 5_000
UP_READY_S = 5.0
UPS = 5
HOUR_S = 3_600
STORMS_S = 600
WITH_TARGETS = ("enter", "down", "start", "heartbeats", "fleet", "bridge", "link")
"""Benches with figures that have a target."""
KAFRA = (sys.executable, "-m", "services.ops")


async def seeds(scale: Scale) -> list[Proof]:
    count = 20 if scale.quick else SEEDS
    found: list[dict[str, object]] = []

    def on_line(line: str) -> None:
        found.append(json.loads(line))
        if len(found) % 20 == 0:
            scale.tell(f"{len(found):,} of {count:,} seeds")

    jobs = str(os.cpu_count() or 1)
    argv = ("-m", "tests.sim", "--seeds", f"1..{count}", "--jobs", jobs, "--json")
    ended = await command(sys.executable, *argv, timeout_s=6 * HOUR_S, on_line=on_line)
    failed = [seed["seed"] for seed in found if seed["violation"] is not None]
    measured = f"{len(found):,} seeds, {len(failed)} failed, {ended.seconds:,.0f} s"
    ok = ended.code == 0 and not failed and len(found) == count
    note = f"python -m tests.sim --seed N, N = {failed[:20]}" if failed else ended.tail
    return [
        Proof("simulation: every invariant, every decision made alike again", f"{count:,} seeds, 0 failed", measured, ok, note)
    ]


async def crash_safety(scale: Scale) -> list[Proof]:
    what = "kill -9 of each service and of NATS while players enter"
    return [await _tests(scale, what, "20 rounds each, nothing lost or doubled", "tests/e2e/test_crash_safety.py")]


async def bus_kills(scale: Scale) -> list[Proof]:
    what = "the bus under kill -9 of its server, restarts, doubt"
    return [await _tests(scale, what, "30 kills alone, 5 in a cluster, nothing lost or doubled", "tests/nats/test_nats_*.py")]


async def deaths(scale: Scale) -> list[Proof]:
    what = "a host's map-server killed with 50 players in play"
    passed, figures = await _measured(scale, what, "200 kills, nobody disconnected", "tests/rathena/test_realm_death.py")
    name = "death of a host's map-server, kill to load-end"
    return [passed, *_judged(figures, name, {0.5: 60.0, 0.99: 250.0})]


async def host_deaths(scale: Scale) -> list[Proof]:
    what = "agents killed, cut off, frozen, stalled, sent home, on a real nats-server"
    passed, figures = await _measured(scale, what, "100 kills, every death known", "tests/nats/test_host_deaths.py")
    return [
        passed,
        *_judged(figures, "kill of a serving host to host.down", {0.5: 20.0, 0.99: 100.0}),
        *_judged(figures, "kill of an idle host to host.down", {1.0: 1_000.0}),
        *_judged(figures, "freeze of a serving host to host.down", {1.0: 2_500.0}),
        *_judged(figures, "packets of a serving host vanish to host.down", {1.0: 3_500.0}),
        *_judged(figures, "leave of a host to host.down", {0.99: 100.0}),
    ]


async def registries(scale: Scale) -> list[Proof]:
    what = "two registries, the active one killed, paused or cut off"
    target = "50 rounds, host.up and host.down never contradict each other"
    return [await _tests(scale, what, target, "tests/nats/test_two_registries.py")]


async def moves(scale: Scale) -> list[Proof]:
    what = "50 players moved in order: promotion, drain, back"
    passed, figures = await _measured(scale, what, "nobody disconnected, nothing lost", "tests/rathena/test_realm_moves.py")
    return [passed, *_judged(figures, "orderly move, hold to load-end", {0.99: 100.0})]


async def door(scale: Scale) -> list[Proof]:
    what = "hosts judged when their players enter a map, by what was observed of them"
    passed, figures = await _measured(scale, what, "200 enters, every host up", "tests/nats/test_door.py")
    return [passed, *_judged(figures, "map.enter to host.up", {0.99: 100.0})]


async def false_deaths(scale: Scale) -> list[Proof]:
    what = "500 agents, the CPU taken by something else for 10 min; the registry stopped for 5 s"
    return [await _tests(scale, what, "0 hosts called dead", "tests/nats/test_false_deaths.py")]


async def links(scale: Scale) -> list[Proof]:
    what = "hosts' links cut for 700 ms, agents and map-servers killed behind them"
    passed, figures = await _measured(scale, what, "20 cuts of each kind unseen, 50 kills", "tests/rathena/test_realm_link.py")
    return [passed, *_judged(figures, "death of a linked host's map-server, kill to load-end", {0.5: 60.0, 0.99: 250.0})]


async def agents(scale: Scale) -> list[Proof]:
    what = "`kafra agent` processes serve from a bundle, are killed with kill -9, are told to end"
    target = "10 rounds, 0 players disconnected, no process left"
    passed, figures = await _measured(scale, what, target, "tests/rathena/test_realm_agent.py")
    return [
        passed,
        *_judged(figures, "agent, order to ready", {1.0: 4_000.0}),
        *_judged(figures, "agent, kill -9 to no process", {1.0: 2_000.0}),
    ]


async def soak(scale: Scale) -> list[Proof]:
    what = "orders come and go at an agent, 50 times as often as they do"
    target = "20 min, no growth in memory, files, processes"
    return [await _tests(scale, what, target, "tests/rathena/test_agent_soak.py")]


async def bridge_kills(scale: Scale) -> list[Proof]:
    what = "kill -9 of the bridge while players play, and of a relay"
    return [await _tests(scale, what, "50 kills, nobody disconnected, every save passed", "tests/rathena/test_realm_kills.py")]


async def _measured(scale: Scale, what: str, target: str, path: str) -> tuple[Proof, dict[str, list[float]]]:
    """As `_tests`, with the milliseconds the tests saw (tests/rathena/figures.py), by name."""
    with tempfile.TemporaryDirectory(prefix="kafra-prove-") as directory:
        file = Path(directory) / "figures.jsonl"
        proof = await _tests(scale, what, target, path, {"KAFRA_FIGURES": str(file)})
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    figures: dict[str, list[float]] = {}
    for line in lines:
        said = json.loads(line)
        figures.setdefault(said["name"], []).extend(said["ms"])
    return proof, figures


def _judged(figures: dict[str, list[float]], name: str, limits: dict[float, float]) -> list[Proof]:
    """limits: share of the samples -> milliseconds it stays below."""
    samples = figures.get(name, [])
    proofs: list[Proof] = []
    for share, limit_ms in limits.items():
        what, target = f"{name}, p{share * 100:g}", f"under {limit_ms:g} ms"
        if not samples:
            proofs.append(Proof(what, target, "not measured", False))
            continue
        measured_ms = percentile(samples, share)
        measured = f"{measured_ms:.0f} ms, of {len(samples):,}"
        proofs.append(Proof(what, target, measured, measured_ms < limit_ms, "on a machine that has nothing else to do"))
    return proofs


async def _tests(scale: Scale, what: str, target: str, path: str, env: dict[str, str] | None = None) -> Proof:
    with tempfile.TemporaryDirectory(prefix="kafra-prove-") as directory:
        junit = Path(directory) / "junit.xml"
        argv = ("-m", "pytest", *_files(path), "-q", "--color=no", f"--junitxml={junit}")
        ended = await command(
            sys.executable,
            *argv,
            timeout_s=2 * HOUR_S,
            env={"KAFRA_PROVE": "" if scale.quick else "1"} | (env or {}),
            on_line=lambda line: scale.tell(line.strip()[-60:]),
        )
        passed, failed, skipped = junit_counts(junit)
    measured = f"{passed} tests passed, {failed} failed, {skipped} skipped, {ended.seconds:,.0f} s"
    return Proof(what, target, measured, ended.code == 0 and passed > 0 and failed == 0, ended.tail)


def _files(pattern: str) -> list[str]:
    return sorted(map(str, Path().glob(pattern)))


async def storms(scale: Scale) -> list[Proof]:
    seconds = 5 if scale.quick else STORMS_S
    argv = ("-m", "tests.rathena.fuzz", "--seconds", str(seconds), "--json")
    ended = await command(sys.executable, *argv, timeout_s=seconds + 5 * 60)
    found: dict[str, Any] = json.loads(ended.lines[-1]) if ended.lines else {"seeds": 0, "failed": []}
    measured = f"{found['seeds']:,} seeds in {ended.seconds:,.0f} s, {len(found['failed'])} failed"
    note = f"python -m tests.rathena.fuzz --seed {found['failed'][0][1]}" if found["failed"] else ended.tail
    what = "anybody says anything to bridge and relay: no crash, no growth, the others play on"
    return [Proof(what, f"{STORMS_S:,} s, 0 failed", measured, ended.code == 0 and found["seeds"] > 0, note)]


async def chaos(scale: Scale) -> list[Proof]:
    what = "simulation of the bridge: no stale save passes, whoever plays ends where his map is served"
    return [await _tests(scale, what, "2,000 seeds, 0 failed", "tests/rathena/test_sim_bridge.py")]


async def speed(scale: Scale) -> list[Proof]:
    """Every figure of `make bench` that has a target."""
    return await _figures(scale, WITH_TARGETS, "speed beside the bare NATS pipeline")


async def dialback(scale: Scale) -> list[Proof]:
    """Players on hosts that accept no connection, and what they wait for beside those on an open port."""
    what = "players on a host that dials, behind a router that lets nothing in"
    paths = tuple(f"tests/rathena/test_{name}.py" for name in ("dial_net", "dial_standing", "realm_dial"))
    passed = [await _tests(scale, what, "they play, refused tickets are told", path) for path in paths]
    return [*passed, *await _figures(scale, ("dialback",), "dial back beside an open port")]


async def _figures(scale: Scale, names: Sequence[str], what: str) -> list[Proof]:
    argv = ("-m", "bench", *(["--quick"] if scale.quick else []), *(word for name in names for word in ("--only", name)))
    ended = await command(sys.executable, *argv, timeout_s=HOUR_S)
    if ended.code:
        return [Proof(what, "see make bench", f"exit code {ended.code}", False, ended.tail)]
    return [
        Proof(
            figure["what"],
            figure["target"],
            f"{figure['ratio']:g} times ({figure['kafra']:g} beside {figure['bare']:g} {figure['unit']})",
            figure["ok"],
            f"make bench ARGS='--only {figure['name'].partition('.')[0]}'",
        )
        for figure in json.loads("\n".join(ended.lines))["figures"]
        if figure["target"] is not None
    ]


async def up(scale: Scale) -> list[Proof]:
    """From the command to its word that NATS and every service are ready; ended by SIGTERM each time."""
    took_s: list[float] = []
    codes: set[int] = set()
    tail = ""
    for number in range(1 if scale.quick else UPS):
        scale.tell(f"number {number + 1}")
        with tempfile.TemporaryDirectory(prefix="kafra-prove-") as store:
            argv = ("up", "--open", "--port", "0", "--store", store, "--json")
            ended = await command(*KAFRA, *argv, timeout_s=60, until=_says_ready)
        took_s.append(ended.seconds)
        codes.add(ended.code)
        tail = ended.tail
    measured = f"{median(took_s):.2f} s (median of {len(took_s)}, {max(took_s):.2f} at most)"
    return [
        Proof("kafra up is ready", f"within {UP_READY_S:g} s", measured, median(took_s) <= UP_READY_S and codes == {0}, tail)
    ]


def _says_ready(line: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("event") == "ready"


async def demo(scale: Scale) -> list[Proof]:
    argv = ("demo", "--json", *(["--seconds", "10", "--hosts", "20", "--players", "50"] if scale.quick else []))
    ended = await command(*KAFRA, *argv, timeout_s=10 * 60)
    what, target = "kafra demo: hosts die, cheat, return; players walk", "exit code 0, no finding, replay decides alike"
    return [Proof(what, target, f"exit code {ended.code}; {demo_summary(ended)}", ended.code == 0, ended.tail)]


def demo_summary(ended: Ended) -> str:
    """The figures an operator would ask for first, of the JSON document the demo ends with."""
    try:
        said = json.loads(ended.lines[-1] if ended.lines else "")
    except ValueError:
        try:
            said = json.loads("\n".join(ended.lines))
        except ValueError:
            return "no summary"
    keys = ("hosts_accepted", "players", "decisions", "findings_count", "writes_lost", "dead_letters")
    return ", ".join(f"{key} {said[key]}" for key in keys if key in said)


ROWS: tuple[Row, ...] = (
    Row("seeds", "simulation seeds", seeds),
    Row("crash", "crash safety", crash_safety),
    Row("bus", "bus kills", bus_kills),
    Row("deaths", "deaths of hosts", deaths),
    Row("host_deaths", "hosts killed, cut off, frozen", host_deaths),
    Row("registries", "two registries", registries),
    Row("moves", "orderly moves", moves),
    Row("links", "hosts' links", links),
    Row("agent", "real agents", agents),
    Row("soak", "a soaked agent", soak),
    Row("dialback", "hosts that dial", dialback),
    Row("bridge", "bridge and relay kills", bridge_kills),
    Row("door", "hosts judged at the door", door),
    Row("false-deaths", "false deaths", false_deaths),
    Row("storms", "storms on bridge and relay", storms),
    Row("chaos", "simulation of the bridge", chaos),
    Row("speed", "speed beside the bare pipeline", speed),
    Row("up", "kafra up, seconds", up),
    Row("demo", "kafra demo", demo),
    Row("idle", "an agent without a map", idle),
    Row("package", "the agent as one file", package),
)
"""In the order of the table."""
