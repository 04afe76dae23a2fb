"""How many connections the bridge wishes to stand between relays and hosts."""

from dataclasses import dataclass, field

from libs.events import Fact, HostId, Stream
from libs.link.messages import STANDING_MAX, STANDING_PER_HOST, RelayHello, Stand
from libs.rathena.layout import shipped
from libs.rathena.values import ip_bytes
from services.bridge.effects import Tell
from services.bridge.nodes import NOWHERE, Node
from services.bridge.players import Player
from services.bridge.standby import FIRST_MS, SAY_MS, Standby
from services.bridge.state import LEFT_OUT_MS, State
from tests.rathena.bridge_game import RULES, on_a_host
from tests.unit.builders import assign

FIELD, TOWN = b"moc_fild01", b"prontera"
EU, ASIA = 1, 2


@dataclass
class Town:
    """A bridge's state, filled by hand."""

    state: State = field(default_factory=lambda: State(RULES, shipped(), lambda: 0))

    def __post_init__(self) -> None:
        self.standby = Standby(self.state)
        self.seq = 0

    def relay(self, peer: int = EU, *, stands: bool = True) -> None:
        self.standby.linked(peer, RelayHello(relay=f"relay_{peer}", region="eu", players=[], stands=stands))

    def play(self, count: int, name: bytes = FIELD, peer: int = EU) -> None:
        for _ in range(count):
            number = len(self.state.players) + 1
            self.state.players.add(Player(number, number, peer=peer, conn=number, map=name))

    def host(self, name: str, *maps: bytes, key: str = "", address: str = "", ready: bool = True) -> Node:
        number = len([*self.state.nodes]) + 1
        ip = ip_bytes(address) if address else NOWHERE
        key = key or f"{number:064x}"
        node = Node(number, name, HostId(name), ip, 6121 if address else 0, key, frozenset(maps or (FIELD,)), ready)
        self.state.nodes.add(node)
        return node

    def assign(self, *line: str, name: bytes = FIELD) -> None:
        """To the first; the others are its backups."""
        self.seq += 1
        self.state.world.apply(Fact(Stream.ASSIGNMENTS, self.seq, assign(name.decode(), line[0], line[1:])))

    def after(self, ms: int) -> list[tuple[int, dict[str, int]]]:
        """What is said meanwhile."""
        self.state.now_ms += ms
        self.standby.due()
        told = [effect for effect in self.state.out if isinstance(effect, Tell)]
        self.state.out.clear()
        stands = [(effect.peer, effect.message) for effect in told if isinstance(effect.message, Stand)]
        return [(peer, {wished.host: wished.count for wished in stand.hosts}) for peer, stand in stands]


def town() -> Town:
    """One host serves the field, two stand by."""
    made = Town()
    made.relay()
    serving = made.host("a")
    made.host("b"), made.host("c")
    made.assign("a", "b", "c")
    made.state.serving[FIELD] = serving
    return made


def test_as_many_as_play_on_a_map_stand_towards_each_host_that_is_next_for_it() -> None:
    game = town()
    game.play(5)
    game.play(7, TOWN)

    assert game.after(SAY_MS) == [(EU, {"b": 5, "c": 5})]


def test_each_relay_has_those_of_its_own_players() -> None:
    game = town()
    game.relay(ASIA)
    game.play(2)
    game.play(3, peer=ASIA)

    assert game.after(SAY_MS) == [(EU, {"b": 2, "c": 2}), (ASIA, {"b": 3, "c": 3})]


def test_it_is_said_on_change_and_not_more_than_once_a_second() -> None:
    game = town()
    game.play(1)
    assert len(game.after(SAY_MS)) == 1

    game.play(1)
    assert game.after(SAY_MS - 1) == []
    assert game.after(1) == [(EU, {"b": 2, "c": 2})]
    assert game.after(SAY_MS) == []


def test_a_relay_that_comes_back_is_told_all_of_it() -> None:
    game = town()
    game.play(1)
    game.after(SAY_MS)
    game.standby.lost(EU)
    assert game.after(SAY_MS) == []

    game.relay(3)
    for player in game.state.players:
        player.peer = 3

    assert game.after(SAY_MS) == [(3, {"b": 1, "c": 1})]


def test_a_relay_of_before_is_told_nothing() -> None:
    game = Town()
    game.relay(stands=False)
    game.host("b")
    game.assign("a", "b")
    game.play(3)

    assert game.after(SAY_MS) == []


def test_a_bridge_that_knows_no_host_yet_does_not_say_that_none_is_wished() -> None:
    game = Town()
    game.relay()
    game.play(1)

    assert game.after(FIRST_MS - 1) == []
    assert game.after(SAY_MS) == [(EU, {})]


def test_who_gets_the_map_stands_by_until_it_has_it() -> None:
    game = town()
    game.play(4)
    game.assign("b", "a")
    assert game.after(SAY_MS) == [(EU, {"b": 4})]

    game.state.serving[FIELD] = game.state.nodes.called("b")  # type: ignore[assignment]
    assert game.after(SAY_MS) == [(EU, {"a": 4})]


def test_where_nobody_plays_who_is_not_ready_and_who_gets_no_map_has_none() -> None:
    game = Town()
    game.relay()
    for name in ("idle", "starting", "out", "gone", "good"):
        game.host(name, TOWN if name == "idle" else FIELD, ready=name != "starting")
    game.assign("other", "idle", "starting", "out", "good")
    game.assign("other", "idle", name=TOWN)
    game.state.left_out[HostId("out")] = LEFT_OUT_MS
    game.play(2)

    assert game.after(SAY_MS) == [(EU, {"good": 2})]


def test_a_host_in_a_lab_has_no_key_and_is_not_dialled() -> None:
    game = town()
    for node in game.state.nodes:
        node.key = ""
    game.play(2)

    assert game.after(FIRST_MS) == [(EU, {})]


def test_who_is_next_has_all_before_a_second_has_any_and_all_are_bounded() -> None:
    game = Town()
    game.relay()
    for number in range(12):
        name = b"fild%02d" % number
        game.host(f"first{number:02d}", name)
        game.host(f"second{number:02d}", name)
        game.assign("vps", f"first{number:02d}", f"second{number:02d}", name=name)
        game.play(60 if number else 90, name)

    ((_, wished),) = game.after(SAY_MS)

    assert wished["first00"] == STANDING_PER_HOST
    assert sum(wished.values()) == STANDING_MAX
    assert all(host.startswith("first") for host in wished)


def test_a_host_with_several_maps_has_one_for_each_player_of_all() -> None:
    game = Town()
    game.relay()
    game.host("b", FIELD, TOWN)
    game.assign("a", "b")
    game.assign("a", "b", name=TOWN)
    game.play(2)
    game.play(3, TOWN)

    assert game.after(SAY_MS) == [(EU, {"b": 5})]


def test_a_wish_says_where_the_host_takes_relays() -> None:
    game = Town()
    game.relay()
    game.host("b", address="192.0.2.7")
    game.assign("a", "b")
    game.play(1)
    game.state.now_ms = SAY_MS
    game.standby.due()

    (tell,) = game.state.out
    assert isinstance(tell, Tell)
    assert isinstance(tell.message, Stand)
    (wished,) = tell.message.hosts
    assert (wished.address, wished.port, wished.key) == ("192.0.2.7", 6121, f"{1:064x}")


def test_the_bridge_itself_says_it() -> None:
    game = on_a_host()
    game.bridge.relay_linked(1, RelayHello(relay="relay", region="", players=[], stands=True), game.now_ms)
    game.link(9, 0, FIELD, host="h2", key="cd" * 32)
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 2, assign("moc_fild01", "h1", ["h2"], tenure=1)), game.now_ms)
    game.wait(SAY_MS + 50)

    (said,) = game.told(Stand)
    assert isinstance(said, Stand)
    assert [(wished.host, wished.key, wished.count) for wished in said.hosts] == [("h2", "cd" * 32, 1)]
