"""Storms on a client's session in the relay, by a seed: a client, a server or a bridge that says anything.

What must hold after each input: nothing is raised; the client gets whole packets of a server and nothing else; a second
server is never dialled before the first is let go; after the end nothing is said any more; nothing grows without bound.
"""

import contextlib
import random
from collections.abc import Sequence

from libs.config import Relay
from libs.link import messages as say
from libs.link.frames import BadFrame, Frames, first, frame
from libs.rathena.framing import CLIENT_TO_MAP, LIMIT_BYTES, MAP_TO_CLIENT, Splitter
from services.relay.effects import Dial, Effect, EndClient, HangUp, Tell, ToClient
from services.relay.table import Table, obey
from tests.rathena.fuzz_words import mutated, pieces
from tests.rathena.relay_words import ENTER, LOADED, SHOWN, serve, welcome

STORM = 400
CHUNK_MAX = 65_536


class Watched:
    """One session, and what must hold of what it asks for."""

    def __init__(self, table: Table, *, proxy: bool = False) -> None:
        self.session = table.open(None if proxy else "192.0.2.7", 0.0)
        self.now_ms = 0.0
        self.dialled = False
        self.ended = False
        self._client = Splitter(MAP_TO_CLIENT)

    def did(self, effects: Sequence[Effect]) -> None:
        assert not (effects and self.ended), f"after its end: {effects}"
        for effect in effects:
            if isinstance(effect, ToClient):
                self._client.feed(bytes(effect.data))
                assert not self._client.pending, "the client gets half a packet"
            elif isinstance(effect, Dial):
                assert not self.dialled, "two servers at once"
                self.dialled = True
            elif isinstance(effect, HangUp):
                self.dialled = False
            elif isinstance(effect, EndClient):
                assert not self.ended, "it ends twice"
                self.ended = True
            elif isinstance(effect, Tell):
                Frames[say.Message](say.RelaySays).feed(frame(effect.message))  # the bridge would take it
        self._bounded()

    def _bounded(self) -> None:
        session = self.session
        held = len(session._arrival.rest) + len(session._from_client._rest) + len(session._server._watch._rest)
        assert held <= 3 * (LIMIT_BYTES + CHUNK_MAX), f"{held} bytes are held"

    def lose(self, switch: int) -> None:
        self.dialled = self.dialled and switch != self.session.player.switch
        self.did(self.session.on_server_lost(switch, "it closed the connection", self.now_ms))

    def tick(self, ms: float) -> None:
        self.now_ms += ms
        self.did(self.session.on_tick(self.now_ms))


def session(chance: random.Random) -> None:
    """Every input in any order."""
    table = Table(Relay())
    proxy = chance.random() < 0.2
    one = Watched(table, proxy=proxy)
    if chance.random() < 0.8:
        one.did(one.session.on_client((b"PROXY UNKNOWN\r\n" if proxy else b"") + ENTER, 0.0))
    for _ in range(STORM):
        _one_input(one, chance)
        if one.ended:
            break
    for _ in range(3):  # whatever comes too late
        _one_input(one, chance)
    list(table.hello())
    table.status()


def _one_input(one: Watched, chance: random.Random) -> None:
    session_, switch = one.session, one.session.player.switch
    match chance.choice(("client", "client", "server", "server", "good", "good", "bridge", "bridge", "lost", "tick", "tick")):
        case "client":
            data = mutated(chance, "client>relay", CLIENT_TO_MAP) if chance.random() < 0.2 else LOADED
            for piece in pieces(chance, data):
                one.did(session_.on_client(piece, one.now_ms))
        case "server":
            data = mutated(chance, "map>relay", MAP_TO_CLIENT) if chance.random() < 0.6 else chance.randbytes(40)
            for piece in pieces(chance, data):
                one.did(session_.on_server(switch, piece, one.now_ms))
        case "good":
            one.did(session_.on_server_open(switch))
            one.did(session_.on_server(switch, welcome(), one.now_ms))
        case "bridge":
            one.did(obey(session_, _bridge_word(chance, switch), one.now_ms))
        case "lost":
            one.lose(chance.choice((switch, switch, switch - 1, 0)))
        case "tick":
            one.tick(chance.choice((0.0, 50.0, 1_100.0, 2_100.0)))


def _bridge_word(chance: random.Random, switch: int) -> say.Message:
    name = chance.choice(("prontera", "", "x" * 16, "\u00e9", "moc_fild01"))
    enter = chance.choice((SHOWN, SHOWN, b"", SHOWN[:-1], bytes(64)))
    address = chance.choice(("192.0.2.1", "", "a name", "\0"))
    big = chance.choice((0, 1, 2**32 - 1))
    next_switch = max(0, switch + chance.choice((-1, 0, 1, 1, 1, 1)))
    placed = serve(next_switch, map=name, enter=enter, address=address, zeny=big, base_level=big)
    hello = say.BridgeHello(bridge="b", incarnation="1")
    rare = say.Refuse(conn=1, code=255) if chance.random() < 0.05 else hello
    return chance.choice((placed, placed, placed, say.Hold(conn=1), rare))


def frames(chance: random.Random) -> None:
    """The relay's and the hosts' connections to the bridge, and the bridge's to the relay: BadFrame is all that is raised."""
    for says in (say.RelaySays, say.BridgeSays):
        reader = Frames[say.Message](says)
        for _ in range(STORM):
            data = bytearray(frame(chance.choice((serve(1), say.Hold(conn=1), say.Held(conn=1, switch=1, map="a", x=1, y=1)))))
            for _ in range(chance.choice((0, 1, 3))):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            try:
                reader.feed(bytes(data) if chance.random() < 0.8 else chance.randbytes(50))
            except BadFrame:
                reader = Frames[say.Message](says)
    hello = bytearray(frame(say.LinkHello(host="h1", map="field_a", address="127.0.0.1", port=1)))
    for _ in range(STORM):
        said = bytearray(hello)
        said[chance.randrange(len(said))] = chance.randrange(256)
        with contextlib.suppress(BadFrame):
            first(say.LAB_GREETS, bytes(said), say.GREETING_BYTES_MAX)


def run(seed: int) -> None:
    """Raises: AssertionError, or whatever leaves a core."""
    chance = random.Random(seed)
    if seed % 4 == 3:
        frames(chance)
    else:
        for _ in range(10):
            session(chance)
