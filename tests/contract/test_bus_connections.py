"""Connections that begin and end: what every bus tells of them (libs.bus.port)."""

import asyncio

from libs.bus.port import Connection


async def test_a_connection_that_begins_and_ends_is_told(bus_factory, eventually):
    watcher = await bus_factory("watcher")
    told: list[Connection] = []
    await watcher.watch_connections(told.append)

    host = await bus_factory("h1")
    await eventually(lambda: [(each.connected, each.name) for each in told] == [(True, "h1")])
    await host.close()
    await eventually(lambda: len(told) == 2)

    began, ended = told
    assert (ended.connected, ended.name) == (False, "h1")
    assert (began.server, began.id) == (ended.server, ended.id)
    assert ended.reason
    assert not began.reason
    assert began.at_ms <= ended.at_ms
    assert began.user == ended.user == ""  # no authorization: nobody verified who it is
    assert began.address


async def test_two_connections_of_one_name_are_two(bus_factory, eventually):
    watcher = await bus_factory("watcher")
    told: list[Connection] = []
    await watcher.watch_connections(told.append)

    first, _second = await bus_factory("h1"), await bus_factory("h1")
    await eventually(lambda: len(told) == 2)
    await first.close()
    await eventually(lambda: len(told) == 3)

    assert told[0].id != told[1].id
    assert told[2].id == told[0].id
    assert not told[2].connected


async def test_who_watches_no_more_is_told_nothing(bus_factory, eventually):
    watcher = await bus_factory("watcher")
    told: list[Connection] = []
    kept: list[Connection] = []
    watching = await watcher.watch_connections(told.append)
    await watcher.watch_connections(kept.append)

    await watching.close()
    await bus_factory("h1")
    await eventually(lambda: kept)

    assert not told


async def test_a_watcher_that_fails_does_not_end_the_others(bus_factory, eventually):
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
    watcher = await bus_factory("watcher")
    told: list[Connection] = []

    def fail(_: Connection) -> None:
        raise LookupError("a bug")

    await watcher.watch_connections(fail)
    await watcher.watch_connections(told.append)
    await bus_factory("h1")
    await eventually(lambda: told)

    assert [type(failure) for failure in failures] == [LookupError]
