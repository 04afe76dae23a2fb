"""The simulation can fail: each of these known defects, planted into today's code, is caught by one of the first seeds."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from libs.bus.memory_log import MemoryLog
from libs.events import HostOrder
from libs.hosting.effects import Append, Outcome
from libs.hosting.looks import DecidingCore
from libs.hosting.room import Room
from services.agent.core import Agent
from services.registry.core import Registry
from services.scorer.core import Scorer
from tests.sim.client import Publisher
from tests.sim.run import run

FIRST_SEEDS = range(1, 41)
Plant = Callable[[pytest.MonkeyPatch], None]


def scorer_ignores_failed_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody(dict):
        """As if no host had ever failed any map."""

        def get(self, name: object, default: object = None) -> object:
            return default

    make = Scorer.__init__

    def blind(scorer: Scorer, rules: object) -> None:
        make(scorer, rules)
        scorer.world.failing = Nobody()

    monkeypatch.setattr(Scorer, "__init__", blind)


def deciders_do_not_wait_for_their_followers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DecidingCore, "_has_read_enough", lambda core, now_ms: True)


def registry_declares_dead_before_it_has_listened(monkeypatch: pytest.MonkeyPatch) -> None:
    caught_up = Registry.on_caught_up

    def impatient(registry: Registry, now_ms: int) -> None:
        caught_up(registry, now_ms - 3_600_000)

    monkeypatch.setattr(Registry, "on_caught_up", impatient)
    monkeypatch.setattr(Registry, "on_gap", lambda registry, now_ms: None)


def log_ignores_the_expected_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    append = MemoryLog.append

    def careless(log: MemoryLog, write: Append, *, msg_id: str, now_ms: int) -> Outcome:
        return append(log, replace(write, expected=None), msg_id=msg_id, now_ms=now_ms)

    monkeypatch.setattr(MemoryLog, "append", careless)


def publisher_takes_a_new_msg_id_for_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    send = Publisher._send

    def doubling(publisher: Publisher, write: object) -> None:
        write.msg_id = f"{write.msg_id.partition('+')[0]}+{write.attempts}"
        publisher._open[write.msg_id] = write
        send(publisher, write)

    monkeypatch.setattr(Publisher, "_send", doubling)


def agents_obey_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def obey(agent: Agent, order: HostOrder) -> bool:
        agent.order, agent.wanted, agent.interval_ms = order, order.maps, order.interval_ms
        return True

    monkeypatch.setattr(Agent, "on_order", obey)


def deciders_see_no_limit_of_players(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room, "without", lambda room, state: frozenset())


def scorer_leaves_hosts_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Room, "over", [])


PLANTED: list[tuple[Plant, tuple[str, ...]]] = [
    (scorer_ignores_failed_maps, ("unfit", "audit host")),
    (deciders_do_not_wait_for_their_followers, ("tenure", "audit")),
    (registry_declares_dead_before_it_has_listened, ("false_death",)),
    (log_ignores_the_expected_sequence, ("tenure", "contradiction", "doubled", "audit")),
    (publisher_takes_a_new_msg_id_for_each_attempt, ("doubled", "lost")),
    (agents_obey_any_order, ("order",)),
    (deciders_see_no_limit_of_players, ("room",)),
    (scorer_leaves_hosts_crowded, ("crowded",)),
]


@pytest.mark.parametrize(("plant", "invariants"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_defect_is_caught(plant: Plant, invariants: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    violation = next((report.violation for report in map(run, FIRST_SEEDS) if report.violation is not None), None)

    assert violation is not None, "no seed caught it"
    assert violation.startswith(invariants), violation
