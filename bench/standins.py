"""What stands around the bridge while it is measured, each named a stand-in: a char-server that takes every save, hosts'
map-servers that say prepared bursts, a relay that follows a script. Loopback only; they know just what the measurement needs.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from libs.link.dialer import Dialer
from libs.link.frames import frame
from libs.link.messages import Arrived, BridgeSays, Entered, LinkHello, Loaded, Message, RelayHello, Serve
from libs.rathena.client import Enter
from libs.rathena.framing import CHAR_TO_MAP, MAP_TO_CHAR, Splitter
from libs.rathena.inter_chars import AuthOk, AuthRequest
from libs.rathena.inter_link import LoginAck, MapLogin, MapsAck, SendMaps, StorageTables
from libs.rathena.inter_saves import (
    BonusScriptSave,
    RegistryRequest,
    RegistrySave,
    RegistryValues,
    SaveChar,
    ScdataRequest,
    StorageSave,
)
from libs.rathena.layout import CHARACTER, STORAGE, shipped
from libs.rathena.structs import items, patched

WAIT_S: Final = 60.0
ITEMS: Final = 60
"""Kinds in an inventory; a cart has as many."""
LOCAL: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Who:
    """One player and the map he is on."""

    account_id: int
    char_id: int
    map: str

    def status(self) -> bytes:
        values: dict[str, int | bytes] = {
            "account_id": self.account_id,
            "char_id": self.char_id,
            "name": f"Bench{self.char_id}".encode(),
            "base_level": 50,
            "job_level": 30,
            "zeny": 5_000,
            "last_point.map": self.map.encode(),
        }
        return patched(shipped(), CHARACTER, bytes(shipped().size(CHARACTER)), values)

    def burst(self) -> bytes:
        """What a map-server says of him at an autosave, in a stock server's order."""
        ids = {"account_id": self.account_id, "char_id": self.char_id}
        storages = [StorageSave(**ids, table=table, storage=self._storage(table)).pack() for table in (1, 2)]
        return b"".join(
            (
                BonusScriptSave(char_id=self.char_id).pack(),
                *storages,
                RegistrySave(**ids, count=0, vars=b"").pack(),
                SaveChar(**ids, final=0, status=self.status()).pack(),
            )
        )

    def _storage(self, table: int) -> bytes:
        values: dict[str, int | bytes] = {"id": self.char_id, "type": table, "amount": ITEMS}
        where = {1: "items_inventory", 2: "items_cart"}[table]
        for number in range(ITEMS):
            values |= {f"u.{where}[{number}].nameid": 500 + number, f"u.{where}[{number}].amount": 10}
        storage = patched(shipped(), STORAGE, bytes(shipped().size(STORAGE)), values)
        assert len(items(shipped(), storage, table)) == ITEMS
        return storage


class CharServer:
    """A char-server stand-in. saved(char_id): a burst's last packet, 2b01, came. save_bytes: of all saves so far."""

    def __init__(self, players: Sequence[Who], saved: Callable[[int], None]) -> None:
        self.statuses = {who.account_id: who.status() for who in players}
        self.saved = saved
        self.save_bytes = 0
        self.port = 0

    async def listen(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: _CharEnd(self), LOCAL, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server


class _CharEnd(asyncio.Protocol):
    def __init__(self, char: CharServer) -> None:
        self._char, self._splitter = char, Splitter(MAP_TO_CHAR)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        char = self._char
        for packet in self._splitter.feed(data):
            packet_id = packet[0] | packet[1] << 8
            if packet_id in SAVES:
                char.save_bytes += len(packet)
                if packet_id == SaveChar.packet_id:
                    char.saved(int.from_bytes(packet[8:12], "little"))
            elif packet_id == MapLogin.packet_id:
                self._write(LoginAck().pack() + StorageTables(tables=bytes(284)).pack())
            elif packet_id == SendMaps.packet_id:
                self._write(MapsAck(whisper_name=b"Server", server_name=b"Bench").pack())
            elif packet_id == AuthRequest.packet_id:
                self._write(self._auth(AuthRequest.unpack(packet)))
            elif packet_id == RegistryRequest.packet_id:
                asked = RegistryRequest.unpack(packet)
                ids = {"account_id": asked.account_id, "char_id": asked.char_id}
                self._write(RegistryValues(**ids, type=3, is_string=0, count=0, vars=b"").pack())

    def _auth(self, asked: AuthRequest) -> bytes:
        return AuthOk(
            account_id=asked.account_id,
            login_id1=asked.login_id1,
            login_id2=7,
            expiration=0,
            group_id=0,
            changing_map_servers=0,
            status=self._char.statuses[asked.account_id],
        ).pack()


SAVES: Final = frozenset({0x2B2E, 0x308B, 0x3004, SaveChar.packet_id})


class Host(asyncio.Protocol):
    """A host's map-server stand-in for one map. linked: it may serve. admitted: characters whose 2afd came."""

    def __init__(self, host: str, map_name: str, number: int) -> None:
        self.host, self.map, self._number = host, map_name, number
        self._splitter = Splitter(CHAR_TO_MAP)
        self._transport: asyncio.Transport | None = None
        self.linked = asyncio.Event()
        self.answered: asyncio.Future[None] | None = None
        self.admitted: dict[int, asyncio.Event] = {}

    async def connect(self, port: int, *, bridge: bool) -> None:
        """bridge: it is one, so says whose link this is first."""
        await asyncio.get_running_loop().create_connection(lambda: self, LOCAL, port)
        ip = bytes([127, 0, 1, self._number])
        hello = LinkHello(host=self.host, map=self.map, address=".".join(map(str, ip)), port=6_000)
        login = MapLogin(userid=b"s1", passwd=b"p1", map_ip=ip, map_port=6_000)
        self.say((frame(hello) if bridge else b"") + login.pack() + SendMaps.of([self.map.encode()]).pack())
        await asyncio.wait_for(self.linked.wait(), WAIT_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.say = self._transport.write

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        for packet in self._splitter.feed(data):
            packet_id = packet[0] | packet[1] << 8
            if packet_id == RegistryValues.packet_id and self.answered is not None:
                self.answered.set_result(None)
                self.answered = None
            elif packet_id == MapsAck.packet_id:
                self.linked.set()
            elif packet_id == AuthOk.packet_id:
                self.admitted[struct.unpack_from("<I", packet, 4)[0]].set()

    async def admit(self, enter: bytes) -> None:
        """A client said 0436."""
        said = Enter.unpack(enter)
        admitted = self.admitted[said.account_id] = asyncio.Event()
        ids: dict[str, Any] = {"account_id": said.account_id, "char_id": said.char_id, "login_id1": said.login_id1}
        self.say(AuthRequest(**ids, sex=said.sex, client_ip=bytes(4)).pack())
        await asyncio.wait_for(admitted.wait(), WAIT_S)
        self.say(ScdataRequest(account_id=said.account_id, char_id=said.char_id).pack())  # the last it asks for: he is whole

    def ask(self, who: Who) -> "asyncio.Future[None]":
        """3005, answered by 3804."""
        self.answered = asyncio.get_running_loop().create_future()
        ids = {"account_id": who.account_id, "char_id": who.char_id}
        self.say(RegistryRequest(**ids, want_account2=0, want_account=0, want_char=1).pack())
        return self.answered


class Relay:
    """A relay stand-in: every player arrives, goes where he is sent, and is there at once."""

    def __init__(self, port: int, hosts: Sequence[Host]) -> None:
        self._hosts = {f"{host.host}/{host.map}": host for host in hosts}
        self._serve: dict[int, asyncio.Future[Serve]] = {}
        self.connected = asyncio.Event()
        self._dialer: Dialer[Message] = Dialer(
            f"{LOCAL}:{port}",
            None,
            BridgeSays,
            hello=lambda: [RelayHello(relay="bench", region="", players=[])],
            on_message=self._on_message,
            on_change=lambda connected: self.connected.set() if connected else None,
        )
        self.run = self._dialer.run

    async def enter(self, number: int, who: Who) -> None:
        placed = self._serve[number] = asyncio.get_running_loop().create_future()
        ids = {"account_id": who.account_id, "char_id": who.char_id}
        self._dialer.say(Arrived(conn=number, **ids, login_id1=1_000 + number, sex=1, client_ip=bytes(4)))
        serve = await asyncio.wait_for(placed, WAIT_S)
        await self._hosts[serve.server].admit(serve.enter)
        self._dialer.say(Entered(conn=number, switch=serve.switch, ok=True))
        self._dialer.say(Loaded(conn=number, switch=serve.switch, map=who.map, x=1, y=1))

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Serve):
            self._serve[message.conn].set_result(message)
