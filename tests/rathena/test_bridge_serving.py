"""Which map-server serves a map, as the core decides it alone."""

from libs.events import Fact, HostId, MapMoved, Stream
from libs.hosting.effects import Append
from libs.link.messages import Entered, Held, Hold, Serve
from libs.rathena.inter_chars import AuthOk, ChangeMapServer
from libs.rathena.inter_saves import SaveChar
from libs.rathena.layout import shipped
from libs.rathena.structs import CHARACTER, Point, last_point, patched
from services.bridge.changing import TURNED_AWAY_MAX
from services.bridge.state import LEFT_OUT_MS
from tests.rathena.bridge_game import CORE, FALLBACK, HOST, Game, answered, portal
from tests.rathena.bridging import ACCOUNT, CHAR, status_of
from tests.unit.builders import assign

FIELD = "moc_fild01"


def hosted() -> Game:
    """A host is linked with the field, and the log gives it the field; LabOne stands in front of it, on the core."""
    game = Game()
    game.hello()
    game.bridge.on_bus(True, game.now_ms)
    game.arrive()
    game.enter(CORE)
    game.link(HOST, 6000, FIELD.encode(), host="h1")
    game.bridge.on_fact(Fact(Stream.ASSIGNMENTS, 7, assign(FIELD, "h1")), game.now_ms)
    game.take()
    return game


def step_in(game: Game) -> Serve:
    """Through the portal, as far as the placement."""
    shown = game.bridge.state.players.by_conn[1, 1].shown
    assert shown is not None
    game.say(CORE, portal(*shown))
    game.char(answered(game.ups(ChangeMapServer)[-1]))
    game.authorised()
    serve = game.told(Serve)[-1]
    assert isinstance(serve, Serve)
    return serve


def moves(game: Game) -> list[MapMoved]:
    effects = game.bridge.step(game.now_ms)
    return [effect.event for effect in effects if isinstance(effect, Append) and isinstance(effect.event, MapMoved)]


def test_who_goes_to_a_hosted_map_is_served_by_its_host() -> None:
    game = hosted()

    serve = step_in(game)

    assert (serve.server, serve.map, serve.tenure, serve.resume) == ("h1/moc_fild01", FIELD, 7, True)


def test_a_host_without_an_address_is_named_by_the_key_of_its_agent_s_link() -> None:
    game = hosted()
    game.link(HOST + 1, 0, FIELD.encode(), host="h1", key="ab" * 32)

    serve = step_in(game)

    assert (serve.server, serve.address, serve.port, serve.key) == ("h1/moc_fild01", "", 0, "ab" * 32)


def test_a_server_of_ours_is_named_by_its_address_alone() -> None:
    game = Game()
    game.hello()
    game.arrive()

    serve = game.told(Serve)[-1]

    assert isinstance(serve, Serve)
    assert (serve.server, serve.address, serve.port, serve.key) == ("core", "127.0.0.1", 5121, "")


def test_the_move_of_an_empty_map_is_said_at_once() -> None:
    (moved,) = moves(hosted())

    assert (moved.map, moved.tenure, moved.from_, moved.to, moved.outcome, moved.players) == (FIELD, 7, None, "h1", "moved", 0)


def test_a_host_that_takes_nobody_in_loses_the_map_to_the_vps_and_it_is_said() -> None:
    game = hosted()
    moves(game)
    step_in(game)

    for _ in range(TURNED_AWAY_MAX):
        host = game.told(Serve)[-1]
        assert isinstance(host, Serve)
        assert host.server == "h1/moc_fild01"
        game.relay(Entered(conn=1, switch=host.switch, ok=False, reason="no connection in time"))
        game.enter(FALLBACK)  # there he plays, and as the map is the host's he is sent there again
        game.wait(50)
        game.saved(FALLBACK)
        game.char(answered(game.ups(ChangeMapServer)[-1]))
        game.authorised()

    assert game.bridge.state.serving[FIELD.encode()].server == "fallback"
    assert game.told(Serve)[-1].server == "fallback"  # type: ignore[attr-defined]
    assert "left out" in game.reports()
    game.enter(FALLBACK)
    assert [(moved.outcome, moved.to) for moved in moves(game)] == [("vps", None)]


def test_after_a_while_the_host_is_tried_again() -> None:
    game = hosted()
    game.bridge.state.leave_out(game.bridge.state.serving[FIELD.encode()], "a test")
    game.wait(100)
    assert game.bridge.state.serving[FIELD.encode()].server == "fallback"

    game.bridge.state.left_out[HostId("h1")] -= LEFT_OUT_MS - 200
    game.wait(200)

    assert game.bridge.state.serving[FIELD.encode()].server == "h1/moc_fild01"


def test_a_map_whose_host_dies_waits_for_the_next_assignment_then_for_nobody() -> None:
    game = hosted()
    step_in(game)
    game.enter(HOST)
    moves(game)

    game.bridge.node_lost(HOST, game.now_ms)
    game.take()
    assert game.told(Hold)
    game.wait(900)
    assert not game.told(Serve)[-1].server.startswith("fallback")  # type: ignore[attr-defined]
    game.wait(200)
    game.char(answered(game.ups(ChangeMapServer)[-1]))
    game.authorised()

    assert game.told(Serve)[-1].server == "fallback"  # type: ignore[attr-defined]


def test_after_a_death_the_char_server_hears_the_place_it_has_and_the_next_server_where_the_player_is() -> None:
    game = hosted()
    step_in(game)
    serve = game.enter(HOST)
    saved = patched(shipped(), CHARACTER, status_of(1), {"last_point.x": 40, "last_point.y": 50})
    game.say(HOST, SaveChar(account_id=ACCOUNT + 1, char_id=CHAR + 1, final=0, status=saved))
    game.checked()
    game.bridge.node_lost(HOST, game.now_ms)
    game.take()

    game.relay(Held(conn=1, switch=serve.switch, map=FIELD, x=41, y=52))
    asked = ChangeMapServer.unpack(game.ups(ChangeMapServer)[-1])
    game.char(answered(asked.pack()))
    game.authorised(saved)
    game.wait(1_100)
    placed = game.enter(FALLBACK)

    assert (asked.x, asked.y) == (40, 50)
    assert (placed.server, placed.x, placed.y) == ("fallback", 41, 52)
    told = last_point(shipped(), AuthOk.unpack(game.downs(FALLBACK, AuthOk)[-1]).status)
    assert (told.x, told.y) == (41, 52)


def test_a_build_with_signed_places_cannot_stop_the_bridge_with_one_below_zero() -> None:
    game = hosted()
    player = game.bridge.state.players.by_conn[1, 1]

    player.keep(Point(b"moc_fild01", -1, 70))
    game.bridge.changing.change(player)
    game.take()

    asked = ChangeMapServer.unpack(game.ups(ChangeMapServer)[-1])
    assert (asked.x, asked.y) == (0, 70)
