"""What stands around the bridge in its simulation, as models: a char-server and map-servers; relay and clients: `sim_relay`.

Each is told something and says something; the world (`sim_bridge.World`) carries it, late, in order on each link. No bytes of
clients: a connection of a client to a map-server is a pair of objects. What real ones do: FACTS, docs/adr/0011.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from libs.rathena.client import Enter
from libs.rathena.inter_chars import (
    AuthFailed,
    AuthOk,
    AuthRequest,
    ChangeMapServer,
    ChangeMapServerAck,
    DisconnectPlayer,
)
from libs.rathena.inter_link import Keepalive, LoginAck, MapLogin, MapsAck, RegisterUsers, SendMaps, TotalUsers
from libs.rathena.inter_saves import SaveAck, SaveChar, ScdataRequest
from libs.rathena.layout import CHARACTER, shipped
from libs.rathena.structs import integer, last_point, patched
from libs.rathena.values import cut
from tests.rathena.sim_relay import Client
from tests.rathena.sim_words import RULES
from tests.rathena.twin.people import person, status_of

if TYPE_CHECKING:
    from tests.rathena.sim_bridge import World

FINAL_RETRY_MS = 60_000


def exp_of(status: bytes) -> int:
    return integer(shipped(), CHARACTER, status, "base_exp")


@cache
def fresh_status(number: int, map_name: str) -> bytes:
    return status_of(person(number), map_name, 50, 50)


class ModelChar:
    """permits: account -> (char, login_id1, login_id2, changing): what a login or a 2b05 left. No wire of its own."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.status: dict[int, bytes] = {}
        self.permits: dict[int, tuple[int, int, int, int]] = {}

    def login(self, number: int) -> tuple[int, int]:
        """The login and char legs: ids for the client."""
        ids = self._world.real_id(), self._world.real_id()
        self.permits[person(number).account_id] = (person(number).char_id, *ids, 0)
        return ids

    def hear(self, packet: bytes) -> list[bytes]:
        match packet[0] | packet[1] << 8:
            case MapLogin.packet_id:
                return [LoginAck().pack()]
            case SendMaps.packet_id:
                return [MapsAck(whisper_name=b"Server", server_name=b"Model").pack()]
            case AuthRequest.packet_id:
                return [self._auth(AuthRequest.unpack(packet))]
            case ChangeMapServer.packet_id:
                return [self._change(ChangeMapServer.unpack(packet))]
            case SaveChar.packet_id:
                return self._save(SaveChar.unpack(packet))
        return []

    def _auth(self, asked: AuthRequest) -> bytes:
        permit = self.permits.get(asked.account_id)
        ids = {"account_id": asked.account_id, "login_id1": asked.login_id1}
        if permit is None or permit[:2] != (asked.char_id, asked.login_id1):
            return AuthFailed(**ids, char_id=asked.char_id, sex=asked.sex, client_ip=asked.client_ip).pack()
        del self.permits[asked.account_id]
        auth = AuthOk(
            **ids,
            login_id2=permit[2],
            expiration=0,
            group_id=0,
            changing_map_servers=permit[3],
            status=self.status[asked.char_id],
        )
        return auth.pack()

    def _change(self, asked: ChangeMapServer) -> bytes:
        if asked.char_id not in self.status:
            return change_ack(asked, accepted=False)
        point = {"last_point.map": cut(asked.map), "last_point.x": asked.x, "last_point.y": asked.y}
        self.status[asked.char_id] = patched(shipped(), CHARACTER, self.status[asked.char_id], dict(point))
        self.permits[asked.account_id] = (asked.char_id, asked.login_id1, asked.login_id2, 1)
        return change_ack(asked, accepted=True)

    def _save(self, save: SaveChar) -> list[bytes]:
        self.status[save.char_id] = save.status
        return [SaveAck(account_id=save.account_id, char_id=save.char_id).pack()] if save.final else []


def change_ack(asked: ChangeMapServer, *, accepted: bool) -> bytes:
    return ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1 if accepted else 0,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    ).pack()


@dataclass(eq=False)
class Guest:
    """A player in a map-server. client: None where its connection has ended. state: auth, playing, moving, leaving."""

    client: Client | None
    login_id1: int
    account_id: int
    char_id: int
    switch: int
    login_id2: int = 0
    state: str = "auth"
    status: bytes = b""
    moving_to: ChangeMapServer | None = None


class ModelServer:
    """A map-server process. link: its connection to the bridge, 0 for none. frozen: SIGSTOP; what comes waits."""

    def __init__(self, world: "World", host: str, number: int, maps: tuple[str, ...]) -> None:
        self._world, self.host, self.maps = world, host, maps
        self.ip, self.port = bytes([10, 0, 0, number]), 5_000 + number
        self.link = 0
        self.ready = False
        self.alive = True
        self.frozen = False
        self.waiting: list[tuple[object, ...]] = []
        self.guests: dict[int, Guest] = {}

    # -- the bridge ----------------------------------------------------------------------------------------------------

    def linked(self, link: int) -> None:
        self.link, self.ready = link, False
        login = MapLogin(userid=b"s1", passwd=b"p1", map_ip=self.ip, map_port=self.port)
        self.say(login.pack())

    def unlinked(self) -> None:
        self.link, self.ready = 0, False
        for guest in [guest for guest in self.guests.values() if guest.state == "auth"]:
            self._refuse(guest)

    def say(self, packet: bytes) -> None:
        if self.link:
            self._world.to_bridge(self, packet)

    def hear(self, packet: bytes) -> None:
        match packet[0] | packet[1] << 8:
            case LoginAck.packet_id:
                self.say(SendMaps.of([name.encode() for name in self.maps]).pack())
            case MapsAck.packet_id if not self.ready:
                self.ready = True
                self._relink()
            case TotalUsers.packet_id:
                self.say(Keepalive().pack())
            case AuthOk.packet_id:
                self._admit(AuthOk.unpack(packet))
            case AuthFailed.packet_id:
                guest = self.guests.get(AuthFailed.unpack(packet).account_id)
                if guest is not None and guest.state == "auth":
                    self._refuse(guest)
            case ChangeMapServerAck.packet_id:
                self._moved(ChangeMapServerAck.unpack(packet))
            case SaveAck.packet_id:
                guest = self.guests.get(SaveAck.unpack(packet).account_id)
                if guest is not None and guest.state == "leaving":
                    del self.guests[guest.account_id]
            case DisconnectPlayer.packet_id:
                guest = self.guests.get(DisconnectPlayer.unpack(packet).account_id)
                if guest is not None and guest.client is not None:
                    self._world.relay.dismissed(guest.client, self, guest.switch)
                    self.gone(guest)

    def _relink(self) -> None:
        staying = [guest for guest in self.guests.values() if guest.state in ("playing", "moving")]
        self.say(RegisterUsers.of((guest.account_id, guest.char_id) for guest in staying).pack())
        for guest in self.guests.values():
            if guest.state == "leaving":
                self.save(guest, final=1)
            elif guest.moving_to is not None:
                self.say(guest.moving_to.pack())

    def _admit(self, auth: AuthOk) -> None:
        guest = self.guests.get(auth.account_id)
        if guest is None or guest.state != "auth" or guest.login_id1 != auth.login_id1:
            return
        if cut(last_point(shipped(), auth.status).map).decode().removesuffix(".gat") not in self.maps:
            self._refuse(guest)
            return
        guest.state, guest.status, guest.login_id2 = "playing", auth.status, auth.login_id2
        self.say(ScdataRequest(account_id=guest.account_id, char_id=guest.char_id).pack())  # the last it asks for: he is whole
        if guest.client is not None:
            self._world.relay.accepted(guest.client, self, guest.switch)

    def _refuse(self, guest: Guest) -> None:
        self.guests.pop(guest.account_id, None)
        if guest.client is not None:
            self._world.relay.server_closed(guest.client, self, guest.switch)

    def _moved(self, ack: ChangeMapServerAck) -> None:
        guest = self.guests.get(ack.account_id)
        if guest is None or guest.state != "moving":
            return
        if ack.login_id1:
            del self.guests[guest.account_id]
            if guest.client is not None:
                self._world.relay.sent_on(guest.client, self, guest.switch, (cut(ack.map).decode(), ack.x, ack.y))
            return
        guest.state, guest.moving_to = "playing", None
        if guest.client is None:
            self.gone(guest)
        else:
            self._world.relay.dismissed(guest.client, self, guest.switch)
            self.gone(guest)

    # -- clients -------------------------------------------------------------------------------------------------------

    def enter(self, client: Client, said: Enter, switch: int) -> None:
        guest = Guest(client, said.login_id1, said.account_id, said.char_id, switch)
        if not self.ready or said.account_id in self.guests:
            self._world.relay.server_closed(client, self, switch)
            return
        self.guests[said.account_id] = guest
        ids = {"account_id": said.account_id, "char_id": said.char_id, "login_id1": said.login_id1}
        self.say(AuthRequest(**ids, sex=said.sex, client_ip=bytes(4)).pack())

    def client_closed(self, account_id: int, switch: int) -> None:
        guest = self.guests.get(account_id)
        if guest is not None and guest.client is not None and guest.switch == switch:
            self.gone(guest)

    def gone(self, guest: Guest) -> None:
        guest.client = None
        if guest.state == "auth":
            self.guests.pop(guest.account_id)
        elif guest.state == "playing":
            guest.state = "leaving"
            self._save_finally(guest)

    def _save_finally(self, guest: Guest) -> None:
        """Again and again until somebody says that it is kept."""
        if self.guests.get(guest.account_id) is guest and not self.frozen:
            self.save(guest, final=1)
            self._world.later(FINAL_RETRY_MS, self._save_finally, guest)

    def play(self, guest: Guest) -> None:
        """He gains something, and is saved."""
        self.save(guest, final=0)

    def save(self, guest: Guest, *, final: int) -> None:
        guest.status = patched(shipped(), CHARACTER, guest.status, {"base_exp": self._world.serial()})
        ids = {"account_id": guest.account_id, "char_id": guest.char_id}
        self.say(SaveChar(**ids, final=final, status=guest.status).pack())

    def walk(self, guest: Guest, name: str) -> None:
        """Through a portal to another map, of this server or of another."""
        point: dict[str, int | bytes] = {"last_point.map": name.encode(), "last_point.x": 9, "last_point.y": 9}
        if name in self.maps:
            guest.status = patched(shipped(), CHARACTER, guest.status, point)
            if guest.client is not None:
                self._world.relay.walked(guest.client, self, guest.switch, (name, 9, 9))
            return
        guest.state = "moving"
        self.save(guest, final=0)
        guest.moving_to = ChangeMapServer(
            account_id=guest.account_id,
            char_id=guest.char_id,
            login_id1=guest.login_id1,
            login_id2=guest.login_id2,
            map=name.encode(),
            x=9,
            y=9,
            dest_ip=RULES.front_ip,
            dest_port=RULES.front_port,
            sex=1,
            client_ip=bytes(4),
            group_id=0,
        )
        self.say(guest.moving_to.pack())
