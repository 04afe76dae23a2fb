"""Tests speak to a twin in its own process: one JSON object a line in, one out, on a loopback port. `{"do": "users"}`."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

from tests.rathena.twin.char import TwinChar
from tests.rathena.twin.char_core import CannotLogIn
from tests.rathena.twin.mapserver import TwinMap
from tests.rathena.twin.store import Arrived, SaveLine

Answer = Callable[[dict[str, Any]], Awaitable[Any]]
LINE_BYTES_MAX: Final = 1 << 20
WAIT_S: Final = 30.0
LOG_LINES_MAX: Final = 5_000


class Control:
    """orders: by the value of `do`. An order that fails answers {"error": ...}."""

    def __init__(self, orders: dict[str, Answer]) -> None:
        self._orders = orders
        self._server: asyncio.Server | None = None

    async def listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LINE_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the other end is gone, or this process ends
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Any:
        order = json.loads(line)
        answer = self._orders.get(order.pop("do", ""))
        if answer is None:
            return {"error": f"no such order, but {sorted(self._orders)}"}
        try:
            return {"ok": await answer(order)}
        except (CannotLogIn, TimeoutError, KeyError) as wrong:
            return {"error": f"{type(wrong).__name__}: {wrong}"}


def map_orders(twins: list[TwinMap]) -> dict[str, Answer]:
    """server: which of the process's map-servers is meant, from 0; account: of the player."""

    def at(order: dict[str, Any]) -> TwinMap:
        return twins[int(order.get("server", 0))]

    async def linked(order: dict[str, Any]) -> Any:
        await at(order).linked(order.get("timeout_s", WAIT_S))
        return True

    async def state(order: dict[str, Any]) -> Any:
        core = at(order).core
        remote = {name: f"{'.'.join(map(str, ip))}:{port}" for name, (ip, port) in core.remote.items()}
        fields = {"linked": core.ready, "others": core.others, "relinks": core.relinks, "remote": remote}
        return {**fields, "maps": sorted(core.maps), "users": len(core.playing()), "total_users": core.total_users}

    async def players(order: dict[str, Any]) -> Any:
        return {
            player.account_id: {
                "phase": player.phase.value,
                "map": player.map,
                "x": player.x,
                "y": player.y,
                "zeny": player.zeny,
                "base_exp": player.base_exp,
                "entered": player.entered,
            }
            for player in at(order).core.players.values()
        }

    async def save(order: dict[str, Any]) -> Any:
        at(order).save(order.get("account"))

    async def drop(order: dict[str, Any]) -> Any:
        at(order).drop(order["account"])

    async def drop_link(order: dict[str, Any]) -> Any:
        at(order).drop_link()

    async def host(order: dict[str, Any]) -> Any:
        at(order).host(*order["maps"])

    async def instance(order: dict[str, Any]) -> Any:
        at(order).core.add_instance(order["map"])

    async def say(order: dict[str, Any]) -> Any:
        """Anything, to the char-server or bridge. packets: in hexadecimal."""
        at(order).say(*map(bytes.fromhex, order["packets"]))

    async def ids(order: dict[str, Any]) -> Any:
        """Session ids of a player as this server knows them."""
        player = at(order).core.players[order["account"]]
        return player.login_id1, player.login_id2

    async def enrich(order: dict[str, Any]) -> Any:
        """A player has so much zeny from now on, and nobody knows why."""
        at(order).core.players[order["account"]].zeny = order["zeny"]

    orders = (linked, state, players, save, drop, drop_link, host, instance, say, ids, enrich)
    return {order.__name__: order for order in orders}


def char_orders(char: TwinChar) -> dict[str, Answer]:
    store = char.store

    async def login(order: dict[str, Any]) -> Any:
        return asdict(await char.login_when_possible(order["account"], order.get("timeout_s", WAIT_S)))

    async def saved(order: dict[str, Any]) -> Any:
        return asdict(store.saved(order["char"]))

    async def wait_saved(order: dict[str, Any]) -> Any:
        """Until the saved state of char has these values."""
        char_id = order.pop("char")
        timeout_s = order.pop("timeout_s", WAIT_S)
        await char.until(lambda: order.items() <= asdict(store.saved(char_id)).items(), timeout_s)
        return asdict(store.saved(char_id))

    async def online(order: dict[str, Any]) -> Any:
        return dict(store.online)

    async def save_counts(order: dict[str, Any]) -> Any:
        return dict(store.save_counts)

    async def saves(order: dict[str, Any]) -> Any:
        return [_save(line) for line in list(store.saves)[-LOG_LINES_MAX:]]

    async def log(order: dict[str, Any]) -> Any:
        """ids: as numbers; without, all. Newest LOG_LINES_MAX."""
        return [_arrived(line) for line in store.arrived(*order.get("ids", ()))[-LOG_LINES_MAX:]]

    async def arrivals(order: dict[str, Any]) -> Any:
        """How often each packet id came, of one character or of anybody."""
        return Counter(f"{line.packet_id:04x}" for line in store.arrived(char_id=order.get("char")))

    async def slots(order: dict[str, Any]) -> Any:
        found = char.core.slots.values()
        return [{"number": s.number, "port": s.port, "maps": [m.decode() for m in s.maps], "users": s.users} for s in found]

    async def kick(order: dict[str, Any]) -> Any:
        char.kick(order["account"], order.get("reason", 2))

    async def drop_slot(order: dict[str, Any]) -> Any:
        char.drop_slot(order["number"])

    orders = (login, saved, wait_saved, online, save_counts, saves, log, arrivals, slots, kick, drop_slot)
    return {order.__name__: order for order in orders}


def _save(line: SaveLine) -> dict[str, Any]:
    return {"t_ms": line.t_ms, "slot": line.slot, "final": line.final, **asdict(line.saved)}


def _arrived(line: Arrived) -> dict[str, Any]:
    return {
        "t_ms": line.t_ms,
        "slot": line.slot,
        "id": f"{line.packet_id:04x}",
        "account": line.key.account_id,
        "char": line.key.char_id,
        "size": line.size,
    }
