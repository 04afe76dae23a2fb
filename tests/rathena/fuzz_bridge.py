"""Storms on the bridge's core: one neighbour says what no good one would, the others go on playing. By a seed.

What must hold after each input: `witness`. After the storm nothing has grown without bound, and a player on a server that is
not the storm's logs in, is saved and leaves.
"""

import random
from collections.abc import Callable

from libs.events import HostId, SaveVerdict
from libs.hosting.effects import Ask
from libs.link import messages as say
from libs.rathena.client import Enter
from libs.rathena.framing import CHAR_TO_MAP, MAP_TO_CHAR, BadStream, Splitter
from libs.rathena.inter_chars import AuthRequest
from libs.rathena.inter_link import MapLogin, SendMaps
from libs.rathena.inter_saves import SaveAck, SaveChar, ScdataRequest
from libs.rathena.layout import shipped
from libs.rathena.packets import BadPacket
from services.bridge import asked, chat, saves
from services.bridge.core import Bridge
from services.bridge.effects import Cut, Down, Effect, Tell, Up
from services.bridge.recovery import HELD_BACK_BYTES_MAX
from services.bridge.said import QUEUE_MAX
from services.bridge.state import Rules
from services.bridge.strangers import ASKED_MAX
from tests.rathena.fuzz_words import mutated, pieces
from tests.rathena.sim_models import ModelChar, fresh_status
from tests.rathena.twin.people import person
from tests.rathena.witness import Witness

CORE, FALLBACK, EVIL, GOOD = 1, 2, 3, 4
MAPS = {CORE: "town", FALLBACK: "field_a", EVIL: "field_b", GOOD: "field_c"}
RELAY, BAD_RELAY = 1, 2
VICTIMS, GUEST = range(3), 5
"""Players 0..2 are those of the recordings and play on the server of the storm; player 5 plays elsewhere."""
STORM = 150
CONN_GUEST = 50


class Town:
    """One bridge with two servers of the VPS and two hosts. Everything is answered at once."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now_ms = 1_000_000
        self.char = ModelChar(self)  # type: ignore[arg-type]
        for number in (*VICTIMS, 3, 4, GUEST):
            self.char.status[person(number).char_id] = fresh_status(number, MAPS[GOOD if number == GUEST else EVIL])
        rules = Rules(
            front_ip=bytes([10, 0, 0, 1]),
            front_port=5_120,
            core_address=(bytes([10, 0, 0, 101]), 5_001),
            fallback_address=(bytes([10, 0, 0, 102]), 5_002),
            userid=b"s1",
            passwd=b"p1",
        )
        self.witness = Witness(Bridge(rules, shipped(), lambda: self.chance.getrandbits(32)))
        self.bridge = self.witness.bridge
        self.links: dict[int, int] = {}
        self.told: dict[int, list[say.Message]] = {RELAY: [], BAD_RELAY: []}
        self.down: dict[int, list[bytes]] = {}
        self.saved: list[bytes] = []
        self._numbers = self._conns = 0
        self.do("tick")
        for relay, name in ((RELAY, "relay"), (BAD_RELAY, "other")):
            self.do("relay_linked", relay, say.RelayHello(relay=name, region="", players=[]))
        self.do("char_connected")
        self.do("on_bus", True)
        for which in MAPS:
            self.link(which)
        self.later(2_100)  # it waits for relays that an earlier bridge may have had
        nodes = self.bridge.state.nodes.by_link
        for which in (EVIL, GOOD):
            self.bridge.state.serving[MAPS[which].encode()] = nodes[self.links[which]]

    def real_id(self) -> int:
        made = self.chance.getrandbits(32) | 0x8080_8080
        self.witness.real_ids.add(made.to_bytes(4, "little"))
        return made

    # -- inputs --------------------------------------------------------------------------------------------------------

    def do(self, name: str, *given: object, **named: object) -> None:
        self.perform(self.witness.do(name, *given, self.now_ms, **named))
        asks, effects = self.witness.step(self.now_ms)
        self.perform(effects)
        for ask in asks:
            if isinstance(ask, Ask):
                self.do("on_reply", ask, SaveVerdict(verdict="pass", reason=""))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Up):
                self.saved.append(effect.packet)
                for answer in self._char_hears(effect.packet):
                    self.do("char_packet", answer)
            elif isinstance(effect, Down):
                self.down.setdefault(effect.link, []).append(effect.packet)
            elif isinstance(effect, Tell) and effect.peer in self.told:
                self.told[effect.peer].append(effect.message)
            elif isinstance(effect, Cut):
                assert effect.link != self.links[GOOD], f"a good server is cut: {effect.reason}"
                self.do("node_lost", effect.link)

    def _char_hears(self, packet: bytes) -> list[bytes]:
        try:
            return self.char.hear(packet)
        except BadPacket:
            return []  # of the VPS: what it says of nobody in the game passes as it is

    def later(self, ms: int) -> None:
        self.now_ms += ms
        self.do("tick")

    def link(self, which: int) -> None:
        self._numbers += 1
        link = self.links[which] = self._numbers
        ip, port = bytes([10, 0, 0, 100 + which]), 5_000 + which
        if which in (EVIL, GOOD):
            self.do("node_linked", link, host=HostId(f"h{which}"), map_name=MAPS[which], ip=ip, port=port)
        else:
            self.do("node_linked", link)
        login = MapLogin(userid=b"s1", passwd=b"p1", map_ip=ip, map_port=port)
        self.do("node_packet", link, login.pack())
        self.do("node_packet", link, SendMaps.of([MAPS[which].encode()]).pack())

    # -- a good player -------------------------------------------------------------------------------------------------

    def enter(self, number: int, conn: int, which: int) -> None:
        """Into the game on this server. Raises: AssertionError."""
        who = person(number)
        ids = {"account_id": who.account_id, "char_id": who.char_id}
        login_id1, _ = self.char.login(number)
        self.told[RELAY].clear()
        self.do("relay_says", RELAY, say.Arrived(conn=conn, **ids, login_id1=login_id1, sex=1, client_ip=bytes(4)))
        serve = next((word for word in self.told[RELAY] if isinstance(word, say.Serve) and word.conn == conn), None)
        assert serve is not None, f"player {number} is not let in: {self.told[RELAY]}"
        assert serve.port == 5_000 + which, f"player {number} is sent to {serve.server}"
        link = self.links[which]
        self.down[link] = []
        said = Enter.unpack(serve.enter)
        self.do("node_packet", link, AuthRequest(**ids, login_id1=said.login_id1, sex=1, client_ip=bytes(4)).pack())
        assert any(packet[:2] == b"\xfd\x2a" for packet in self.down[link]), f"the server of player {number} hears no 2afd"
        self.do("node_packet", link, ScdataRequest(**ids).pack())
        self.do("relay_says", RELAY, say.Entered(conn=conn, switch=serve.switch, ok=True))
        self.do("relay_says", RELAY, say.Loaded(conn=conn, switch=serve.switch, map=serve.map, x=1, y=1))

    def others_play(self) -> None:
        """Raises: AssertionError where the guest cannot enter, be saved, and leave."""
        who = person(GUEST)
        ids = {"account_id": who.account_id, "char_id": who.char_id}
        self._conns += 1
        self.enter(GUEST, CONN_GUEST + self._conns, GOOD)
        for final in (0, 1):
            if final:
                self.do("relay_says", RELAY, say.Closed(conn=CONN_GUEST + self._conns))
            save = SaveChar(**ids, final=final, status=self.char.status[who.char_id]).pack()
            self.saved.clear()
            self.do("node_packet", self.links[GOOD], save)
            assert save in self.saved, "a good player's save does not pass"
        assert SaveAck(**ids).pack() in self.down[self.links[GOOD]], "nobody says that the final save is kept"
        assert who.char_id not in self.bridge.state.players.by_char, "he left and is in the game"

    def bounded(self) -> None:
        bridge, mux = self.bridge, self.bridge._mux
        players = len(bridge.state.players)
        assert players <= 64, f"{players} players of 6 accounts and a storm"
        assert mux.asked._open <= asked.OPEN_MAX, "questions"
        assert mux.whispers.waiting <= chat.OPEN_MAX, "whispers"
        assert len(mux.groups._of) <= players + 16, "groups of nobody"
        assert bridge._recovery._held_back_bytes <= HELD_BACK_BYTES_MAX, "held back"
        assert len(bridge._strangers._askers) <= ASKED_MAX, "asks of the VPS"
        assert len(bridge.said._queue) <= QUEUE_MAX, "said"
        gate = bridge.gate
        assert gate._asks <= saves.ASKS_MAX, "questions to the validator"
        assert all(len(one.packets) <= saves.WAITING_MAX for one in gate._waiting.values()), "saves"
        assert len(gate._waiting) + len(gate._accepted) <= 2 * players + 16, "saves of nobody"
        assert not bridge.state.out, "effects nobody takes"


def host(town: Town) -> None:
    """A host with players says anything. The fence and the rules hold; at worst its link ends."""
    _say_bytes(town, EVIL, "map>gw")


def vps(town: Town) -> None:
    """The same from the VPS's own server."""
    kept = dict(town.char.status)
    _say_bytes(town, CORE, "map>gw")
    town.char.status = kept  # it may save anybody who is not in the game


def _say_bytes(town: Town, which: int, direction: str) -> None:
    if which == EVIL:
        for number in VICTIMS:
            town.enter(number, number + 1, EVIL)
    splitter = Splitter(MAP_TO_CHAR)
    for _ in range(STORM):
        if town.links[which] not in town.bridge.state.nodes.by_link:
            town.link(which)
            splitter = Splitter(MAP_TO_CHAR)
        for piece in pieces(town.chance, mutated(town.chance, direction, MAP_TO_CHAR)):
            try:
                packets = splitter.feed(piece)
            except BadStream:
                town.do("node_lost", town.links[which])
                break
            for packet in packets:
                town.do("node_packet", town.links[which], packet)
        if town.chance.random() < 0.2:
            town.later(town.chance.choice((20, 20, 500, 3_000)))


def char_server(town: Town) -> None:
    """A char-server that is not the stock one: BadPacket, and nothing else, leaves the core. A sane one that follows serves."""
    for number in VICTIMS:
        town.enter(number, number + 1, EVIL)
    town.witness.char_is_sane = False
    splitter = Splitter(CHAR_TO_MAP)
    for _ in range(STORM):
        try:
            packets = splitter.feed(mutated(town.chance, "char>gw", CHAR_TO_MAP))
        except BadStream:
            town.do("char_lost")
            town.do("char_connected")
            splitter = Splitter(CHAR_TO_MAP)
            continue
        for packet in packets:
            try:
                town.do("char_packet", packet)
            except BadPacket:
                town.perform(town.bridge.take())
        if town.chance.random() < 0.2:
            town.later(town.chance.choice((20, 500, 3_000)))
    town.do("char_lost")
    town.do("char_connected")
    town.witness.char_is_sane = True


def relay(town: Town) -> None:
    """A relay says valid messages in any order about anybody it may know, or not."""
    for number in VICTIMS:
        town.enter(number, number + 1, EVIL)
    for _ in range(STORM * 2):
        message = _relay_word(town.chance)
        name = "relay_linked" if isinstance(message, say.RelayHello) else "relay_says"
        town.do(name, BAD_RELAY, message)
        if town.chance.random() < 0.03:
            town.do("relay_lost", BAD_RELAY)
            town.do("relay_linked", BAD_RELAY, say.RelayHello(relay="other", region="", players=[]))
        if town.chance.random() < 0.2:
            town.later(town.chance.choice((20, 500, 3_000)))


def _relay_word(chance: random.Random) -> say.RelaySays:
    who = person(chance.randrange(5))
    conn, switch = chance.choice((0, 1, 2, 3, 2**63 - 1)), chance.choice((0, 1, 2, 3, 2**63 - 1))
    ids = {"account_id": who.account_id, "char_id": chance.choice((who.char_id, who.char_id, 0, 2**32 - 1))}
    login_id = chance.getrandbits(32)
    name = chance.choice(("", "town", "field_a", "field_b", "a@b", "x" * 16, "\u00e9\0\u2603"))
    place = {"map": name, "x": chance.choice((0, 1, 32_767)), "y": 1}
    placed = say.Placed(
        conn=conn,
        switch=switch,
        **ids,
        login_id1=login_id,
        login_id2=1,
        server=chance.choice((None, "core", "fallback", "h3/field_b", "nobody", "")),
        tenure=chance.choice((0, 2**62)),
        **place,
    )
    words: list[Callable[[], say.RelaySays]] = [
        lambda: say.RelayHello(relay="other", region="", players=[placed] * chance.choice((0, 1, 2))),
        lambda: say.Arrived(conn=conn, **ids, login_id1=login_id, sex=255, client_ip=chance.randbytes(chance.randint(0, 4))),
        lambda: say.Entered(conn=conn, switch=switch, ok=chance.random() < 0.5),
        lambda: say.Loaded(conn=conn, switch=switch, **place, ms=1e308),
        lambda: say.Walked(conn=conn, **place),
        lambda: say.Leaving(conn=conn, **place),
        lambda: say.ServerLost(conn=conn, switch=switch, **place),
        lambda: say.Held(conn=conn, switch=switch, **place),
        lambda: say.Closed(conn=conn),
    ]
    return chance.choice(words)()


STORMS: tuple[Callable[[Town], None], ...] = (host, vps, char_server, relay)


def run(seed: int) -> None:
    """Raises: AssertionError, or whatever leaves the core."""
    storm = STORMS[seed % len(STORMS)]
    town = Town(seed)
    town.others_play()
    storm(town)
    town.bounded()
    town.later(20)
    town.others_play()
