"""A host that serves nothing any more ends its link, and the next map opens another. Real sockets, both real ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from libs.events import MapName
from libs.rathena.inter_link import MapLogin, UserCount
from tests.rathena.link_lab import agent_end, bridge_end, map_server

FIELD, OTHER = MapName("moc_fild01"), MapName("pay_fild03")
LOGIN = MapLogin(userid=b"s1", passwd=b"p1", map_ip=bytes(4), map_port=0).pack()
IDLE_S = 0.3
Eventually = Callable[[Callable[[], Any]], Any]


async def test_the_link_ends_when_nothing_is_served_and_opens_again_with_the_next_map(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end(idle_s=IDLE_S) as (link, _):
        port = await link.open(FIELD)
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
            (number,) = bridge.linked
        link.close(FIELD)

        await eventually(lambda: link.report is None)
        await eventually(lambda: len(bridge.agents) == 0)
        assert bridge.gone == [number]
        assert bridge.said(number).startswith(LOGIN)
        assert bridge.doubts == [], "it said goodbye: nobody takes it for dead"

        port = await link.open(OTHER)
        assert link.report is not None
        assert not link.report.linked, "by which the registry gives a ticket"
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: [bridge.hosts[n][1] for n in bridge.linked] == [OTHER])
    assert bridge.refused == []


async def test_a_map_that_comes_in_time_finds_the_link_it_left(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end() as (link, _):
        port = await link.open(FIELD)
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)
        link.close(FIELD)
        await eventually(lambda: not bridge.linked)

        async with map_server(await link.open(OTHER)) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: [bridge.hosts[n][1] for n in bridge.linked] == [OTHER])

        assert len(bridge.agents) == 1, "no other ticket was needed"


async def test_a_host_that_serves_a_map_in_silence_keeps_its_link(tmp_path: Path, eventually: Eventually) -> None:
    async with bridge_end(tmp_path) as bridge, agent_end(idle_s=0.0) as (link, _):
        for name in (OTHER, FIELD):
            port = await link.open(name)
        link.offer(bridge.offer(link.key))
        async with map_server(port) as (_, writer):
            writer.write(LOGIN)
            await eventually(lambda: bridge.packets)

            link.close(OTHER)
            writer.write(UserCount(users=3).pack())

            (number,) = bridge.linked
            await eventually(lambda: len(bridge.packets[number]) == 2)
            assert link.linked
