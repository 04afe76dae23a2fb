"""One client's session at the relay, without its I/O: bytes, ends, messages and time in; effects out.

The client's connection outlives its servers. While no server has him the player is **held**: what he sends is dropped in whole
packets, never half of one to the next server, and he gets whole packets only. Portal, orderly move and death are one
mechanism: hold, serve, and a map change (0091) in place of the new server's welcome (docs/adr/0011).
"""

from collections.abc import Sequence
from typing import Final

from libs.config import Relay
from libs.link import messages as say
from libs.rathena.watch import Seen, Watch
from services.relay import leg, wire
from services.relay.arrival import Arrival, BadArrival
from services.relay.effects import Dial, Effect, EndClient, From, HangUp, Tell, ToClient, ToServer
from services.relay.holding import Holding
from services.relay.loads import Loads
from services.relay.phase import PLACED, Phase
from services.relay.player import Player
from services.relay.proxy import BadHeader
from services.relay.wire import Place

LOAD_TIMEOUT_MS: Final = 60_000
"""A slow machine loads a map in seconds; the map-server itself gives a silent client 60 s."""
GOING_MS: Final = 2_000
"""From a server's 0081 to its close."""
NOTHING: Final[Sequence[Effect]] = ()
_FIRST, _PLAYING = Phase.FIRST, Phase.PLAYING
"""For every chunk; looking through the enum takes three times as long."""


class Session:
    """conn: the relay's number for it. address: the client's; None: a PROXY header will say. All times are ms of one clock.

    entered: the client is in the game, it has seen a 02eb; it never sees a second one.
    """

    def __init__(self, conn: int, settings: Relay, address: str | None, now_ms: float) -> None:
        self.player = Player(conn)
        self.phase = Phase.FIRST
        self.entered = False
        self._settings = settings
        self._arrival = Arrival(address)
        self._heard_ms = now_ms
        self._until_ms = now_ms + settings.first_packet_timeout_s * 1000
        self._holding = Holding(settings.hold_timeout_s * 1000)
        self._from_client = Watch(wire.FROM_CLIENT)
        self._server = leg.ServerLeg(self.player, b"")
        self._link: int | None = None
        self._ending: int | None = None
        self._parting: str | None = None
        self._code: int | None = None
        self._loads = Loads()
        self._server_tick, self._ticked_ms = 0, now_ms

    # -- the client -------------------------------------------------------------------------------------------------------

    def on_client(self, data: bytes, now_ms: float) -> Sequence[Effect]:
        self._heard_ms = now_ms
        phase = self.phase
        if phase is _FIRST:
            return self._first(data, now_ms)
        seen = self._from_client.scan(data)
        if phase is _PLAYING and not seen.found and seen.broken is None:
            return (ToServer(seen.whole),) if seen.end else NOTHING
        if phase is Phase.CLOSED:
            return NOTHING
        if seen.broken is not None:
            return self.end(f"what the client says is no stream: {seen.broken}")
        if phase is _PLAYING:
            return self._play(seen, now_ms)
        return self._load(seen, now_ms) if phase is Phase.LOADING else self._drop(seen, now_ms)

    def on_client_lost(self, reason: str = "the client left") -> Sequence[Effect]:
        """It closed its connection, or cannot be written to any more."""
        return self.end(self._parting or reason)

    def end(self, reason: str, code: int | None = None) -> Sequence[Effect]:
        """Close it. code: of the 0081 it is told; None: nothing."""
        if self.phase is Phase.CLOSED:
            return NOTHING
        out: list[Effect] = []
        self._hang_up(out, orderly=True)
        self._ending = None
        if code is not None:
            out.append(ToClient(wire.reason(code)))
        out.append(EndClient(reason))
        if self.phase is not Phase.FIRST:
            out.append(self.player.closed(reason))
        self.phase = Phase.CLOSED
        return out

    def _first(self, data: bytes, now_ms: float) -> Sequence[Effect]:
        arrival = self._arrival
        unknown = arrival.address is None
        try:
            enter = arrival.read(data)
        except (BadArrival, BadHeader) as error:
            return self.end(str(error))
        out: list[Effect] = []
        if unknown and arrival.address is not None:
            out.append(From(arrival.address))
        if enter is None:
            return out
        self.player.enter, self.player.address = enter, arrival.address or ""
        self.phase = Phase.HELD
        self._holding.arrived(now_ms)
        out.append(Tell(self.player.arrived()))
        if arrival.rest:
            out += self.on_client(arrival.rest, now_ms)
        return out

    def _play(self, seen: Seen, now_ms: float) -> Sequence[Effect]:
        out: list[Effect] = [ToServer(seen.whole)] if seen.end else []
        for at in seen.found:
            if wire.id_at(seen.data, at) == wire.LOAD_END and self._loads.answered(now_ms):
                out.append(self.player.loaded(0.0))
        return out

    def _load(self, seen: Seen, now_ms: float) -> Sequence[Effect]:
        """Drops what was meant for the server before, up to the 007d that answers our 0091."""
        for at in seen.found:
            if wire.id_at(seen.data, at) == wire.LOAD_END and self._loads.answered(now_ms) and self._loads.done(now_ms):
                return self._resume(memoryview(seen.data)[at : seen.end], now_ms)
        return NOTHING

    def _resume(self, data: bytes | memoryview, now_ms: float) -> Sequence[Effect]:
        """data: from the client's 007d on."""
        assert self.player.serve is not None
        self.phase = Phase.PLAYING
        self._loads.forget()
        fresh = wire.resync(self.player.serve)
        return [ToServer(data), *([ToClient(fresh)] if fresh else ()), self.player.loaded(self._holding.ended(now_ms))]

    def _drop(self, seen: Seen, now_ms: float) -> Sequence[Effect]:
        """A client in the game gets its ticks answered, as far as we know the server's clock."""
        ids = [wire.id_at(seen.data, at) for at in seen.found]
        for _ in range(ids.count(wire.LOAD_END)):
            self._loads.answered(now_ms)
        if wire.TICK not in ids or not self.entered:
            return NOTHING
        return [ToClient(wire.tick_answer(self._server_tick + int(now_ms - self._ticked_ms)))]

    # -- the server -------------------------------------------------------------------------------------------------------

    def on_server_open(self, switch: int) -> Sequence[Effect]:
        serve = self.player.serve
        return [ToServer(serve.enter)] if switch == self._link and serve is not None else NOTHING

    def on_server(self, switch: int, data: bytes, now_ms: float) -> Sequence[Effect]:
        if switch != self._link:
            return NOTHING
        words = self._server.read(data)
        if len(words) == 1 and type(words[0]) is ToClient:
            return words  # type: ignore[return-value]
        out: list[Effect] = []
        moved = False
        for word in words:
            if switch != self._link:
                return out
            self._hear(word, out, now_ms)
            moved = moved or type(word) is leg.Moved
        if moved and switch == self._link:
            out.append(self.player.walked())
        return out

    def on_server_lost(self, switch: int, reason: str, now_ms: float) -> Sequence[Effect]:
        """Its connection ended, or never came to be; of one that was hung up: now it has ended."""
        out: list[Effect] = []
        if switch == self._ending:
            self._ending, self.phase = None, Phase.HELD
            out.append(self.player.held())
        elif switch == self._link:
            self._lose(reason, out, now_ms)
        return out

    def _hear(self, word: leg.Word, out: list[Effect], now_ms: float) -> None:
        if isinstance(word, ToClient):
            out.append(word)
        elif isinstance(word, leg.Accepted):
            self._accept(word, out, now_ms)
        elif isinstance(word, leg.Broken):
            self._lose(word.reason, out, now_ms)
        elif isinstance(word, leg.Dismissed):
            self._dismiss(word, out, now_ms)
        elif isinstance(word, leg.Moved):
            self._loads.asked(now_ms)
        elif isinstance(word, leg.Sent):
            self._hang_up(out, orderly=True)
            self._hold(now_ms)
            out.append(self.player.leaving())
        elif isinstance(word, leg.Parting):
            self._parting = word.reason

    def _accept(self, word: leg.Accepted, out: list[Effect], now_ms: float) -> None:
        """02eb: the client's welcome, or for one in the game a map change in its place."""
        self._server_tick, self._ticked_ms = word.tick, now_ms
        if word.place is None:
            out.append(ToClient(word.packet))
            return
        if self.entered:
            self.phase, self._until_ms = Phase.LOADING, now_ms + LOAD_TIMEOUT_MS
            self._loads.asked_again(now_ms)
            out.append(ToClient(wire.map_move(word.place)))
        else:
            self.phase, self.entered = Phase.PLAYING, True
            self._loads.asked(now_ms)
            out.append(ToClient(word.packet))
        out.append(self.player.entered(now_ms))

    def _dismiss(self, word: leg.Dismissed, out: list[Effect], now_ms: float) -> None:
        """A server that ends says so to everybody: the client must not hear it. Any other dismissal is his own."""
        if self.phase is Phase.ENTERING:
            self._lose(f"the server refused with {word.packet_id:04x}, code {word.code}", out, now_ms)
        elif word.packet_id == wire.REASON and word.code in wire.GOING_CODES:
            self.phase, self._until_ms, self._code = Phase.GOING, now_ms + GOING_MS, word.code
            self._holding.began(now_ms)
        else:
            self._parting = f"the server dismissed it with {word.packet_id:04x}, code {word.code}"
            out.append(ToClient(word.packet))

    def _lose(self, reason: str, out: list[Effect], now_ms: float) -> None:
        """The server is gone, or is to be: the client is held; unless it was about to leave anyway."""
        self._hang_up(out, orderly=False)
        if self.phase is Phase.ENTERING:
            self.phase = Phase.HELD
            out.append(self.player.not_entered(reason))
        elif self._parting is not None:
            out += self.end(self._parting)
        else:
            self._hold(now_ms)
            out.append(self.player.lost(self._code))

    def _hang_up(self, out: list[Effect], *, orderly: bool) -> None:
        if self._link is not None:
            self._link = None
            out.append(HangUp(orderly))

    def _hold(self, now_ms: float) -> None:
        if self.phase in PLACED:
            self._holding.began(now_ms)
        self.phase = Phase.HELD

    # -- the bridge -------------------------------------------------------------------------------------------------------

    def on_serve(self, serve: say.Serve, now_ms: float) -> Sequence[Effect]:
        """Whether the entry is swallowed is our own knowledge (`entered`); `resume` says the same where all is well."""
        if self.phase in (Phase.FIRST, Phase.CLOSED) or serve.switch <= self.player.switch:
            return NOTHING
        out: list[Effect] = []
        self._hang_up(out, orderly=True)
        self._hold(now_ms)
        self._ending = self._parting = self._code = None
        self.player.serve = serve
        if not self.entered:
            self.player.place = Place(serve.map, serve.x, serve.y)
        if (wrong := wire.wrong_with(serve)) is not None:
            return [*out, self.player.not_entered(wrong)]
        self.phase, self._until_ms = Phase.ENTERING, now_ms + self._settings.connect_timeout_ms
        self._link, self._server = serve.switch, leg.ServerLeg(self.player, serve.enter[2:6])
        return [*out, Dial(serve.switch, serve.server, serve.address, serve.port, serve.key, serve.enter)]

    def on_hold(self, now_ms: float) -> Sequence[Effect]:
        if self.player.serve is None or self.phase in (Phase.HOLDING, Phase.CLOSED):
            return NOTHING
        out: list[Effect] = []
        placed = self.phase in PLACED
        self._ending = self._link if placed else None
        self._hang_up(out, orderly=placed)
        self._hold(now_ms)
        if placed:
            self.phase = Phase.HOLDING
        else:
            out.append(self.player.held())
        return out

    # -- time -------------------------------------------------------------------------------------------------------------

    def on_tick(self, now_ms: float) -> Sequence[Effect]:
        """Several times a second."""
        phase, late = self.phase, now_ms > self._until_ms
        if phase is Phase.CLOSED:
            return NOTHING
        if phase is Phase.FIRST:
            return self.end("no first packet in time") if late else NOTHING
        if now_ms - self._heard_ms > self._settings.idle_timeout_s * 1000:
            return self.end("the client says nothing")
        if phase in (Phase.HELD, Phase.HOLDING):
            return self.end("held too long", wire.CODE_SERVER_CLOSED) if self._holding.over(now_ms) else NOTHING
        if phase is Phase.LOADING and self._loads.done(now_ms):
            return self._resume(wire.LOADED, now_ms)
        if phase is Phase.PLAYING or not late:
            return NOTHING
        if phase is Phase.LOADING:
            return self.end("the client does not load its map")
        out: list[Effect] = []
        self._lose("no 02eb in time" if phase is Phase.ENTERING else "the server ends", out, now_ms)
        return out
