"""The twin map-server: packets of the char-server and of clients in, packets to them out. Called by `mapserver.py` over TCP and
by the capture replay. The link to the char-server is in `map_link.py`, clients in `map_play.py`, saves in `player.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from libs.rathena import client
from libs.rathena.packets import BadPacket
from libs.rathena.tables import CHAR_TO_MAP, CLIENT_TO_MAP
from libs.rathena.values import ip_bytes
from tests.rathena.twin import map_link, map_play, map_talk
from tests.rathena.twin.effects import CHAR, Cut, Dial, Effect, Exit, Note, Outbox, id_of, quiet
from tests.rathena.twin.player import Phase, Player

NEVER_MS: Final = 1 << 62
STALL_STEP_MS: Final = 1_000
"""Silences are noticed to the second, as stock."""
Place = tuple[str, int, int]


@dataclass(frozen=True)
class MapConfig:
    """ip, port: what 2af8 says and others are told. char: where the char-server (or a bridge) is. warps: cell -> where it
    leads. host: a host's link to a bridge begins with its name, as its agent's does.

    The times are the stock ones but for autosave, which is a host's; 0 for client_stall_ms lets silent clients be."""

    maps: tuple[str, ...]
    ip: str = "127.0.0.1"
    port: int = 5121
    char: tuple[str, int] = ("127.0.0.1", 6121)
    warps: dict[Place, Place] = field(default_factory=dict)
    userid: str = "s1"
    passwd: str = "p1"
    host: str = ""
    autosave_ms: int = 5_000
    minsave_ms: int = 100
    users_ms: int = 10_000
    stall_ms: int = 60_000
    reconnect_first_ms: int = 1_000
    reconnect_ms: int = 10_000
    final_check_ms: int = 30_000
    final_retry_ms: int = 60_000
    auth_timeout_ms: int = 60_000
    client_stall_ms: int = 60_000


class MapCore:
    """players: by account, until 2b21 frees them. remote: map -> (ip, port) by the last 2b04. others: other_mapserver_count.

    relinks: links to the char-server that were made again.
    """

    def __init__(self, config: MapConfig, *, note: Note = quiet) -> None:
        self.config = config
        self.note = note
        self.out = Outbox()
        self.now_ms = 0
        self.ip = ip_bytes(config.ip)
        self.maps: set[str] = set(config.maps)
        self.listed: list[str] = list(config.maps)
        self.warps = dict(config.warps)
        self.remote: dict[str, tuple[bytes, int]] = {}
        self.others = 0
        self.ready = False
        self.linked = False
        self.relinks = -1
        self.total_users = 0
        self.players: dict[int, Player] = {}
        self.clients: dict[int, Player | None] = {}
        self.client_heard_ms: dict[int, int] = {}
        self.ended = False
        self.heard_ms = 0
        self.pinged = False
        self.dials = 0
        self.asked_once = False
        self.timers: dict[str, int] = {}
        self.save_next = 0

    def start(self, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        self.timers |= {"autosave": now_ms + self.autosave_interval_ms()}
        self.timers |= {"final": now_ms + self.config.final_check_ms, "stall": now_ms + self._stall_step_ms()}
        self.dial()
        return self.out.take()

    def dial(self) -> None:
        self.dials += 1
        self.out.add(Dial(CHAR, *self.config.char))

    def opened(self, link: int, now_ms: int) -> list[Effect]:
        """A client's connection, or the dialled one to the char-server."""
        self.now_ms = now_ms
        if link == CHAR:
            map_link.on_open(self)
        else:
            self.clients[link] = None
            self.client_heard_ms[link] = now_ms
        return self.out.take()

    def received(self, link: int, packet: bytes, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        packet_id = id_of(packet)
        try:
            if link == CHAR:
                self.heard_ms, self.pinged = now_ms, False
                if handler := map_link.HANDLERS.get(packet_id):
                    handler(self, packet)
                elif packet_id not in CHAR_TO_MAP.kinds:
                    self.out.add(Cut(CHAR))
            elif packet_id not in CLIENT_TO_MAP.kinds:
                self.out.add(Cut(link))
            elif link in self.clients:
                self.client_heard_ms[link] = now_ms
                self._on_client(link, packet_id, packet)
        except BadPacket as bad:
            self.note("bad_packet", {"reason": str(bad)})
            self.out.add(Cut(link))
        return self.out.take()

    def _on_client(self, link: int, packet_id: int, packet: bytes) -> None:
        if packet_id == client.Enter.packet_id:
            map_play.on_enter(self, link, client.Enter.unpack(packet))
            return
        player = self.clients.get(link)
        handler = map_play.HANDLERS.get(packet_id) or map_talk.HANDLERS.get(packet_id)
        if handler is None or player is None or player.phase is not Phase.PLAYING:
            return
        if player.entered or packet_id in map_play.BEFORE_ENTERED:
            handler(self, player, packet)

    def closed(self, link: int, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        if link == CHAR:
            map_link.on_close(self)
        else:
            player = self.clients.pop(link, None)
            self.client_heard_ms.pop(link, None)
            if player is not None and player.client == link:
                map_play.on_gone(self, player)
        return self.out.take()

    def due_ms(self) -> int:
        return min(self.timers.values(), default=NEVER_MS)

    def advance(self, now_ms: int) -> list[Effect]:
        """Time passes: everything that is due, the earliest first."""
        self.now_ms = now_ms
        for name in sorted((n for n, due_ms in self.timers.items() if due_ms <= now_ms), key=self.timers.__getitem__):
            self._TIMERS[name](self)
        return self.out.take()

    def terminate(self, now_ms: int) -> list[Effect]:
        """SIGTERM: every client is sent away, every player saved, the slot emptied."""
        self.now_ms = now_ms
        if self.ended:
            return []
        self.ended = True
        playing = self.playing()
        for player in playing:
            map_play.dismiss(self, player, map_play.FORCED)
            player.phase = Phase.LEAVING
        for player in playing:
            self.say(*player.final_save())
        self.say(b"\x18\x2b")
        for link in [*self.clients, CHAR]:
            self.out.add(Cut(link))
        self.timers.clear()
        self.out.add(Exit(0, "terminated"))
        return self.out.take()

    def die(self, why: str) -> None:
        """What stock map-servers end their process for."""
        self.ended = True
        self.timers.clear()
        self.note("fatal", {"why": why})
        self.out.add(Exit(1, why))

    def say(self, *packets: bytes) -> None:
        """To the char-server, where there is a link."""
        if self.linked:
            for packet in packets:
                self.out.send(CHAR, packet)

    def playing(self) -> list[Player]:
        return [
            player for player in self.players.values() if player.phase is not Phase.AUTH and player.phase is not Phase.LEAVING
        ]

    def add_instance(self, name: str) -> None:
        """A map made in this process at run time: it is told to nobody."""
        assert "@" in name, "an instance's name has an @"
        self.maps.add(name)

    def host(self, names: Iterable[str], now_ms: int) -> list[Effect]:
        """Loads further maps and says the whole list again (2afa)."""
        self.now_ms = now_ms
        self.listed += [name for name in names if name not in self.maps]
        self.maps.update(self.listed)
        map_link.say_maps(self)
        return self.out.take()

    def save(self, account_id: int | None, now_ms: int) -> list[Effect]:
        """An autosave now: of one player, or of all."""
        self.now_ms = now_ms
        for player in self.playing():
            if account_id in {None, player.account_id} and player.loaded:
                self.say(*player.autosave())
        return self.out.take()

    def autosave_interval_ms(self) -> int:
        return max(self.config.autosave_ms // (len(self.playing()) + 1), self.config.minsave_ms)

    def _on_autosave(self) -> None:
        """One player a time, in turn; once round, nobody: so each is saved every autosave_ms."""
        self.timers["autosave"] = self.now_ms + self.autosave_interval_ms()
        saved = [player for player in self.playing() if player.loaded and player.phase is Phase.PLAYING]
        if self.save_next >= len(saved) or not self.ready:
            self.save_next = 0
        else:
            self.say(*saved[self.save_next].autosave())
            self.save_next += 1

    def _on_final_check(self) -> None:
        """Whose final save nobody confirmed is saved again."""
        self.timers["final"] = self.now_ms + self.config.final_check_ms
        for player in self.players.values():
            if player.phase is Phase.LEAVING and self.now_ms - player.final_ms >= self.config.final_retry_ms:
                player.final_ms = self.now_ms
                self.say(*player.final_save())

    def _on_stall_check(self) -> None:
        self.timers["stall"] = self.now_ms + self._stall_step_ms()
        map_link.check_stall(self)
        map_play.check_silent(self)

    def _stall_step_ms(self) -> int:
        return max(20, min(STALL_STEP_MS, self.config.stall_ms // 10, (self.config.client_stall_ms or STALL_STEP_MS) // 10))

    def _on_users(self) -> None:
        map_link.say_users(self)

    def _on_reconnect(self) -> None:
        self.timers.pop("reconnect", None)
        self.dial()

    _TIMERS: Final = {
        "autosave": _on_autosave,
        "final": _on_final_check,
        "stall": _on_stall_check,
        "users": _on_users,
        "reconnect": _on_reconnect,
    }
