"""The twins are cheap enough to stand beside bridge and relay on two cores."""

import asyncio
import time

from tests.rathena.twin.people import person, status_of
from tests.rathena.twin.town import Town

PLAYERS, SERVERS = 50, 8
CPU_S_MAX = 1.5
"""0.12 s measured for char-server, map-servers and clients together; a machine that is busy otherwise gets ten times that."""


async def test_fifty_players_enter_eight_map_servers_play_and_leave() -> None:
    people = [person(n) for n in range(PLAYERS)]
    async with Town.running(people, slots_max=SERVERS) as town:
        for n, who in enumerate(people):
            town.store.chars[who.char_id].set(status_of(who, f"map{n % SERVERS}", 100, 100))
        for n in range(SERVERS):
            await town.map_server(f"map{n}", autosave_ms=500)
        players = [town.client(n) for n in range(PLAYERS)]

        started_s = time.process_time()
        await asyncio.gather(*(player.enter() for player in players))
        entry_s = time.process_time() - started_s
        for player in players:
            player.attack()
        await town.char.until(lambda: all(town.store.saved(who.char_id).zeny == 1_010 for who in people))
        for player in players:
            player.leave()
        await town.char.until(lambda: not town.store.online)

        assert entry_s < CPU_S_MAX
        assert sum(line.size for line in town.store.log if line.packet_id == 0x308B) > PLAYERS * 90_000
