"""Which node serves which map, and how a map changes hands. In: assignments, nodes that come and go, time. Out: players taken
off by `Changing`, and map.moved.

The assignment says who should serve; the table says who does. A map goes over when the assigned node is ready: at once for new
arrivals, player by player for those who are there. When its node dies it waits for the next assignment, at most
migration_timeout, then goes to the VPS (DESIGN D5, section 7) for the rest of that tenure: a host that comes back needs an
assignment of its own. Level, not edge: `reconsider` may be called at any time.
"""

from dataclasses import dataclass, field
from typing import Literal

from libs.events import HostId, MapAssign, MapMoved
from services.bridge.changing import Changing
from services.bridge.nodes import Node
from services.bridge.players import Phase, Player
from services.bridge.said import Said
from services.bridge.state import State, wire_name
from services.bridge.staying import Staying

Kind = Literal["orderly", "death"]
Outcome = Literal["moved", "rolled_back", "vps"]
AT_ONCE = 8
"""Players between two servers at a time. Who waits for 50 others waits 0.3 s. In an orderly move the rest play on meanwhile,
and the move as a whole takes no longer; when their server is dead, as many more are sent on with each tick, since over the
internet a player's entry is mostly waiting."""


@dataclass(slots=True)
class Move:
    """A map on its way. waiting: characters not yet there; queued: those of them whose turn has not come: they play on at the
    old server, or are held where it is dead. at_once: how many may be between the two. carried: those who are there.
    since_ms: when the switch began."""

    name: bytes
    tenure: int
    from_host: HostId | None
    to: Node
    kind: Kind
    outcome: Outcome
    since_ms: int
    waiting: set[int] = field(default_factory=set)
    queued: dict[int, None] = field(default_factory=dict)
    at_once: int = AT_ONCE
    carried: int = 0

    def drop(self, char_id: int) -> None:
        """It waits for him no more."""
        self.waiting.discard(char_id)
        self.queued.pop(char_id, None)


class Serving:
    def __init__(self, state: State, changing: Changing, staying: Staying, said: Said) -> None:
        self._state, self._changing, self._staying, self._said = state, changing, staying, said
        self._moves: dict[bytes, Move] = {}
        self._lost_host: dict[bytes, HostId | None] = {}
        self._cold: dict[bytes, tuple[int, int]] = {}
        self._unsettled = False
        self._left: set[HostId] = set()

    @property
    def moving(self) -> frozenset[bytes]:
        return frozenset(self._moves)

    def in_line(self, player: Player) -> bool:
        """His map moves, and his turn has not come."""
        move = self._moves.get(player.map)
        return move is not None and player.char_id in move.queued

    def on_ready(self, node: Node) -> None:
        self._state.note(f"{node.server} is ready, with {len(node.maps)} maps")
        for name in node.maps:
            self.reconsider(name)

    def on_lost(self, node: Node) -> None:
        """Its link ended: whoever is or was on his way there is cut off, its maps are nobody's for now."""
        state = self._state
        if node.ready:
            state.note(f"{node.server} is gone, with {len(state.players.owned_by(node))} players")
        names = [name for name, serving in state.serving.items() if serving is node]
        for name in names:
            del state.serving[name]
            if not node.is_vps:
                state.lost[name] = state.now_ms
                self._lost_host[name] = node.host
        for player in [player for player in state.players if node in (player.owner, player.bound)]:
            if node.is_vps:
                self._await_return(player, node)
            else:
                self._changing.cut_off(player)
        for name, move in list(self._moves.items()):
            if move.to is node:
                del self._moves[name]
        for name in names:
            self.reconsider(name)

    def _await_return(self, player: Player, node: Node) -> None:
        """The VPS's map-servers are supervised: they come back, and have their players still if only the link was cut."""
        if player.phase in (Phase.PLAYING, Phase.PLACING) and player.owner is node:
            player.owner, player.expected = None, node.server
            self._state.enter_phase(player, Phase.PLACING)
        else:
            self._changing.cut_off(player)

    def reconsider(self, name: bytes) -> None:
        state = self._state
        serving, wanted = state.serving.get(name), self._wanted(name)
        if wanted is not None:
            self._cold.pop(name, None)
        if serving is not None and state.is_linked(serving):
            if wanted is not None and wanted is not serving:
                self._begin(name, serving, wanted, "orderly", self._outcome(name, wanted))
            elif wanted is None:
                self._wait(name, serving)
        elif name in state.lost:
            if wanted is not None:
                self._begin(name, None, wanted, "death", self._outcome(name, wanted))
            elif state.now_ms - state.lost[name] >= state.rules.migration_timeout_ms:
                self._to_vps(name)
        elif wanted is not None:
            vps = state.nodes.on_vps(name)
            if wanted is vps or vps is None:  # nobody had it: nothing moves, as after a restart
                state.serving[name] = wanted
                self._unsettled = True
            else:
                self._begin(name, vps, wanted, "orderly", self._outcome(name, wanted))
        else:
            self._wait(name, state.nodes.on_vps(name))

    def _wanted(self, name: bytes) -> Node | None:
        """The node that the assignment names, if it is ready; None: not yet, or nobody."""
        assign = self._state.map_state(name).assign
        if assign is None or assign.host is None or self._may_not(name, assign.host):
            return self._state.nodes.on_vps(name)
        node = self._state.nodes.called(f"{assign.host}/{assign.map}")
        return node if node is not None and node.ready and name in node.maps else None

    def _outcome(self, name: bytes, to: Node) -> Outcome:
        """vps: it ends there although a host was chosen."""
        assign = self._state.map_state(name).assign
        return "vps" if to.is_vps and assign is not None and assign.host is not None else "moved"

    def _may_not(self, name: bytes, host: HostId) -> bool:
        """In this tenure the map has gone to the VPS; or nobody checks what this host says."""
        return self._state.spent.get(name) == self._state.tenure_of(name) or host in self._state.left_out

    def _wait(self, name: bytes, serving: Node | None) -> None:
        """The assigned host is not ready: whoever serves goes on, at most start_timeout; then the VPS, and it is said."""
        assign, tenure = self._state.map_state(name).assign, self._state.tenure_of(name)
        if assign is None or assign.host is None:
            return
        known = self._cold.get(name)
        if known is None or known[0] != tenure:
            self._cold[name] = (tenure, self._state.now_ms)
        elif known[1] >= 0 and self._state.now_ms - known[1] >= self._state.rules.start_timeout_ms:
            self._cold[name] = (tenure, -1)
            self._start_failed(name, serving, assign)

    def _start_failed(self, name: bytes, serving: Node | None, assign: MapAssign) -> None:
        vps = self._state.nodes.on_vps(name)
        self._state.spent[name] = self._state.tenure_of(name)
        if serving is not None and not serving.is_vps and vps is not None:
            self._begin(name, serving, vps, "orderly", "vps")
        else:
            self._say(name, self._state.tenure_of(name), None, assign.host, "orderly", "vps", 0, 0)

    def _to_vps(self, name: bytes) -> None:
        """Nobody decided in time: the VPS can always take a map without asking."""
        vps = self._state.nodes.on_vps(name)
        if vps is not None:
            self._state.spent[name] = self._state.tenure_of(name)
            self._begin(name, None, vps, "death", "vps")

    def _begin(self, name: bytes, serving: Node | None, to: Node, kind: Kind, outcome: Outcome) -> None:
        state = self._state
        state.serving[name] = to
        since_ms = state.lost.pop(name, state.now_ms)
        from_host = self._lost_host.pop(name, None) if serving is None else serving.host
        move = Move(name, state.tenure_of(name), from_host, to, kind, outcome, since_ms)
        old = self._moves.get(name)
        if old is not None:
            move.waiting |= old.waiting - old.queued.keys()
        self._moves[name] = move
        for player in [player for player in state.players if player.map == name]:
            self._take_along(player, move)
        self._go_on(move)

    def _take_along(self, player: Player, move: Move) -> None:
        if player.phase is Phase.HELD or (player.phase is Phase.PLAYING and player.owner is not move.to):
            move.waiting.add(player.char_id)
            move.queued[player.char_id] = None
        elif player.phase in (Phase.PLACING, Phase.HOLDING, Phase.CHANGING) and player.expected is None:
            move.waiting.add(player.char_id)

    def on_done(self, player: Player) -> None:
        """The player loaded his map, or is gone."""
        for move in [move for move in self._moves.values() if player.char_id in move.waiting]:
            if player.phase is Phase.LEAVING or player.char_id not in self._state.players.by_char:
                move.drop(player.char_id)
            elif player.owner is move.to or player.map != move.name:
                move.drop(player.char_id)
                move.carried += 1
            self._go_on(move)

    def _go_on(self, move: Move) -> None:
        """The next whose turn it is, where few are between the two servers; or the end."""
        while move.queued and len(move.waiting) - len(move.queued) < move.at_once:
            char_id = next(iter(move.queued))
            del move.queued[char_id]
            player = self._state.players.by_char.get(char_id)
            if player is None or player.map != move.name:
                move.waiting.discard(char_id)
            elif player.phase is Phase.PLAYING and player.owner is not move.to:
                self._changing.take_off(player)
            elif player.phase is Phase.HELD:
                self._staying.due(player)
        self._finish(move)

    def settle(self, player: Player) -> None:
        """A player walked, within his server, onto a map that another node serves: he goes there. Who may be there by half only
        enters anew."""
        state = self._state
        if player.phase is not Phase.PLAYING or player.owner is None or player.map in state.lost:
            return
        serving = state.serving.get(player.map)
        elsewhere = serving is not None and serving is not player.owner and state.is_linked(serving) and serving.ready
        if elsewhere or player.fresh:
            player.fresh = False
            self._changing.take_off(player)

    def due(self) -> None:
        """Time alone: maps without a server, hosts that do not start, moves that do not end."""
        state = self._state
        self._leave_out()
        if self._unsettled:  # players may be with a server that had them before this bridge, or before the map was anybody's
            self._unsettled = False
            for player in list(state.players):
                self.settle(player)
        for name in [*state.lost, *self._cold]:
            self.reconsider(name)
        for move in list(self._moves.values()):
            if move.queued and move.kind == "death":
                move.at_once += AT_ONCE
                self._go_on(move)
            if move.waiting and state.now_ms - move.since_ms > 2 * state.rules.migration_timeout_ms:
                move.waiting = {char for char in move.waiting if char in state.busy or char in move.queued}
                self._go_on(move)

    def _leave_out(self) -> None:
        """Maps of hosts whose saves nobody checks go to the VPS; after a while they may return."""
        state = self._state
        ended = {host for host, until_ms in state.left_out.items() if state.now_ms >= until_ms}
        for host in ended:
            del state.left_out[host]
        concerned = ended | (state.left_out.keys() - self._left)
        self._left = set(state.left_out)
        if concerned:
            for name, map_state in [(name, state.map_state(name)) for name in state.nodes.maps()]:
                if map_state.assign is not None and map_state.assign.host in concerned:
                    self.reconsider(name)

    def _finish(self, move: Move) -> None:
        if move.waiting or self._moves.get(move.name) is not move:
            return
        del self._moves[move.name]
        to = move.to.host if move.outcome == "moved" else None
        ms = self._state.now_ms - move.since_ms
        self._say(move.name, move.tenure, move.from_host, to, move.kind, move.outcome, move.carried, ms)

    def _say(
        self,
        name: bytes,
        tenure: int,
        from_host: HostId | None,
        to: HostId | None,
        kind: Kind,
        outcome: Outcome,
        players: int,
        ms: int,
    ) -> None:
        wire = wire_name(name)
        if wire is None or not tenure:
            return
        ends = f"{from_host or 'the VPS'} -> {to or 'the VPS'}"
        self._state.note(f"{wire}: {ends}, {kind}, {outcome}, tenure {tenure}, {players} players, {ms} ms")
        self._said.moved(
            MapMoved(
                map=wire,
                at_ms=self._state.now_ms,
                tenure=tenure,
                from_=from_host,
                to=to,
                kind=kind,
                outcome=outcome,
                players=players,
                ms=float(ms),
            )
        )
