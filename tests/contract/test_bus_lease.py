"""Leases: what every bus promises (libs.bus.port)."""

import asyncio
from functools import partial

TTL_S = 0.6


async def test_one_holds_and_the_next_takes_over_when_it_leaves(bus_factory, eventually):
    events: list[tuple[str, bool]] = []
    numbers: list[int] = []
    leases = {}
    for name in ("a", "b", "c"):
        bus = await bus_factory(name)
        leases[name] = await bus.lease("registry", TTL_S, lambda held, name=name: events.append((name, held)))

    for _ in range(3):
        await eventually(partial(any_held, leases))
        assert sum(lease.held for lease in leases.values()) == 1
        holder = next(name for name, lease in leases.items() if lease.held)
        numbers.append(leases[holder].number)
        lease = leases.pop(holder)
        await lease.close()
        assert (lease.held, lease.number) == (False, 0)

    assert numbers == sorted(set(numbers)), "the number grows with every holder"
    assert numbers[0] > 0
    assert [held for _, held in events] == [True, False] * 3, "nobody held while another did"


async def test_a_holder_keeps_its_number_while_it_renews(bus_factory, eventually):
    bus, other = await bus_factory("a"), await bus_factory("b")
    lease = await bus.lease("registry", TTL_S)
    await eventually(lambda: lease.held)
    number = lease.number
    contender = await other.lease("registry", TTL_S)
    began = await bus.ping(5)
    loop_time = asyncio.get_running_loop().time
    until = loop_time() + 3 * TTL_S + began

    await eventually(lambda: loop_time() > until or not lease.held or contender.held)

    assert (lease.held, lease.number, contender.held, contender.number) == (True, number, False, 0)


async def test_leases_of_other_names_are_others(bus_factory, eventually):
    bus, other = await bus_factory("a"), await bus_factory("b")

    one = await bus.lease("registry", TTL_S)
    two = await other.lease("bridge", TTL_S)

    await eventually(lambda: one.held and two.held)


async def test_closing_the_bus_releases(bus_factory, eventually):
    bus, other = await bus_factory("a"), await bus_factory("b")
    first = await bus.lease("registry", 30.0)
    await eventually(lambda: first.held)
    number = first.number

    await bus.close()
    assert not first.held
    second = await other.lease("registry", TTL_S)
    await eventually(lambda: second.held)

    assert second.number > number


def any_held(leases) -> bool:
    return any(lease.held for lease in leases.values())
