"""A bridge that is told everything by hand: what map-servers, char-server and relay would say. For tests without sockets."""

from dataclasses import replace
from itertools import count

from libs.events import Fact, HostId, SaveVerdict, Stream
from libs.hosting.effects import Ask
from libs.link.messages import Arrived, Entered, Loaded, Placed, RelayHello, Serve, ServerLost
from libs.rathena.client import Enter
from libs.rathena.inter_chars import AuthOk, AuthRequest, ChangeMapServer, ChangeMapServerAck
from libs.rathena.inter_link import Keepalive, LoginAck, MapLogin, MapsAck, SendMaps, TotalUsers
from libs.rathena.inter_saves import SaveAck, SaveChar, ScdataRequest
from libs.rathena.layout import shipped
from libs.rathena.values import ip_bytes
from services.bridge.core import Bridge
from services.bridge.effects import Cut, Down, Report, Tell, Up
from services.bridge.nodes import NOWHERE
from services.bridge.state import Rules
from tests.rathena.bridging import ACCOUNT, CHAR, status_of
from tests.unit.builders import assign

IP = ip_bytes("127.0.0.1")
RULES = Rules(front_ip=IP, front_port=5120, core_address=(IP, 5121), fallback_address=(IP, 5122), userid=b"s1", passwd=b"p1")
CORE, FALLBACK, HOST, RELAY = 1, 2, 3, 1
KICKED = 15


class Game:
    """One bridge, told everything by hand. Player 1 of the recordings, LabOne, stands on prt_fild08 of the core."""

    def __init__(self, *, started_ms: int = 0, away: str = "pass") -> None:
        self.frozen: set[int] = set()
        ids = count(1_000)
        self.bridge = Bridge(replace(RULES, when_validator_away=away), shipped(), lambda: next(ids))
        self.now_ms = started_ms
        self.out: list[object] = []
        self.bridge.char_connected(self.now_ms)
        self.char(LoginAck())
        self.link(CORE, 5121, b"prt_fild08")
        self.link(FALLBACK, 5122, b"moc_fild01")

    def link(self, number: int, port: int, *maps: bytes, host: str | None = None, key: str = "") -> None:
        """key: of the host's agent, which has no address and dials."""
        name, ip = HostId(host) if host else None, NOWHERE if key else IP
        self.bridge.node_linked(number, self.now_ms, host=name, map_name=maps[0].decode(), ip=ip, port=port, key=key)
        self.say(number, MapLogin(userid=b"s1", passwd=b"p1", map_ip=IP, map_port=port))
        self.say(number, SendMaps.of(maps))
        self.char(MapsAck(whisper_name=b"Server", server_name=b"rAthena"))

    def say(self, link: int, packet: object) -> None:
        self.bridge.node_packet(link, packet.pack(), self.now_ms)  # type: ignore[attr-defined]
        self.take()

    def char(self, packet: object) -> None:
        self.bridge.char_packet(packet.pack(), self.now_ms)  # type: ignore[attr-defined]
        self.take()

    def relay(self, message: object) -> None:
        self.bridge.relay_says(RELAY, message, self.now_ms)  # type: ignore[arg-type]
        self.take()

    def take(self) -> None:
        taken = self.bridge.take()
        self.out += taken
        for effect in taken:
            if isinstance(effect, Cut):
                self.bridge.node_lost(effect.link, self.now_ms)
                self.take()
            elif (
                isinstance(effect, Down) and number_of(effect.packet) == TotalUsers.packet_id and effect.link not in self.frozen
            ):
                self.bridge.node_packet(effect.link, Keepalive().pack(), self.now_ms)

    def wait(self, ms: int) -> None:
        for _ in range(0, ms, 50):
            self.now_ms += 50
            self.bridge.tick(self.now_ms)
            self.take()

    def hello(self, *players: Placed) -> None:
        self.bridge.relay_linked(RELAY, RelayHello(relay="relay", region="", players=list(players)), self.now_ms)
        self.take()

    def told(self, kind: type) -> list[object]:
        """Messages of this kind to the relay since the last time of asking for any, newest last."""
        return [effect.message for effect in self.out if isinstance(effect, Tell) and isinstance(effect.message, kind)]

    def ups(self, kind: type) -> list[bytes]:
        wanted = kind.packet_id  # type: ignore[attr-defined]
        return [effect.packet for effect in self.out if isinstance(effect, Up) and number_of(effect.packet) == wanted]

    def downs(self, link: int, kind: type) -> list[bytes]:
        wanted = kind.packet_id  # type: ignore[attr-defined]
        found = [effect for effect in self.out if isinstance(effect, Down) and effect.link == link]
        return [effect.packet for effect in found if number_of(effect.packet) == wanted]

    def reports(self) -> list[str]:
        return [effect.kind for effect in self.out if isinstance(effect, Report)]

    def arrive(self, conn: int = 1) -> None:
        self.relay(
            Arrived(conn=conn, account_id=ACCOUNT + 1, char_id=CHAR + 1, login_id1=7, sex=0, client_ip=IP),
        )
        self.authorised()

    def authorised(self, status: bytes | None = None) -> None:
        """The char-server lets him. status: what it has of him."""
        auth = AuthOk(
            account_id=ACCOUNT + 1,
            login_id1=7,
            login_id2=8,
            expiration=0,
            group_id=0,
            changing_map_servers=0,
            status=status or status_of(1),
        )
        self.char(auth)

    def enter(self, link: int, conn: int = 1, *, whole: bool = True) -> Serve:
        """The newest placement succeeds: that map-server takes him in."""
        serve = self.told(Serve)[-1]
        assert isinstance(serve, Serve)
        shown = Enter.unpack(serve.enter)
        self.say(
            link,
            AuthRequest(account_id=ACCOUNT + 1, char_id=CHAR + 1, login_id1=shown.login_id1, sex=0, client_ip=IP),
        )
        if whole:
            self.say(link, ScdataRequest(account_id=ACCOUNT + 1, char_id=CHAR + 1))
        self.relay(Entered(conn=conn, switch=serve.switch, ok=True))
        self.relay(Loaded(conn=conn, switch=serve.switch, map=serve.map, x=1, y=1))
        return serve

    def lost(self, serve: Serve, code: int | None = None) -> None:
        self.relay(ServerLost(conn=serve.conn, switch=serve.switch, map=serve.map, x=1, y=1, code=code))

    def saved(self, link: int, *, answered: bool = True) -> None:
        """The final save, and the char-server's answer."""
        self.say(link, SaveChar(account_id=ACCOUNT + 1, char_id=CHAR + 1, final=1, status=status_of(1)))
        if answered:
            self.char(SaveAck(account_id=ACCOUNT + 1, char_id=CHAR + 1))

    def checked(self) -> None:
        """The validator lets the save that waits pass."""
        (ask,) = [effect for effect in self.bridge.step(self.now_ms) if isinstance(effect, Ask)]
        self.bridge.on_reply(ask, SaveVerdict(verdict="pass", reason="fine"), self.now_ms)
        assert not list(self.bridge.step(self.now_ms))

    @property
    def players(self) -> int:
        return len(self.bridge.state.players)


def playing() -> tuple[Game, Serve]:
    game = Game()
    game.hello()
    game.arrive()
    serve = game.enter(CORE)
    game.wait(3_000)
    game.out.clear()
    return game, serve


def portal(login_id1: int, login_id2: int) -> ChangeMapServer:
    return ChangeMapServer(
        account_id=ACCOUNT + 1,
        char_id=CHAR + 1,
        login_id1=login_id1,
        login_id2=login_id2,
        map=b"moc_fild01.gat",
        x=20,
        y=30,
        dest_ip=IP,
        dest_port=5120,
        sex=0,
        client_ip=IP,
        group_id=0,
    )


def answered(packet: bytes, *, accepted: bool = True) -> ChangeMapServerAck:
    """The char-server's answer to a 2b05."""
    asked = ChangeMapServer.unpack(packet)
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
    )


def restarted(*, fresh: bool = False) -> Game:
    """The relay and the core say that LabOne is there; the bridge made none of the ids."""
    game = Game()
    game.hello(
        Placed(
            conn=1,
            switch=5,
            account_id=ACCOUNT + 1,
            char_id=CHAR + 1,
            login_id1=7,
            login_id2=8,
            server="core",
            tenure=0,
            map="prt_fild08",
            x=1,
            y=1,
            fresh=fresh,
        )
    )
    return game


def on_a_host() -> Game:
    """LabOne is on a host, whose saves are to be checked."""
    game = Game(away="hold")
    game.hello()
    game.bridge.on_bus(True, game.now_ms)
    game.link(HOST, 6000, b"moc_fild01", host="h1")
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 1, assign("moc_fild01", "h1")), game.now_ms)
    game.arrive()
    player = game.bridge.state.players.by_char[CHAR + 1]
    player.map = b"moc_fild01"
    game.bridge.placing.place(player)
    game.take()
    game.enter(HOST)
    game.wait(3_000)
    game.out.clear()
    return game


def number_of(packet: bytes) -> int:
    return packet[0] | packet[1] << 8
