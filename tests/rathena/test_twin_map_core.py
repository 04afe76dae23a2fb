"""What no recording shows of map-server and client: the cores alone, with a clock of the test's."""

from libs.rathena import client, inter
from libs.rathena.values import ip_bytes
from tests.rathena.twin.char_core import Ticket
from tests.rathena.twin.client_core import ClientCore
from tests.rathena.twin.effects import CHAR, Cut, Dial, Effect, Exit, Send, id_of
from tests.rathena.twin.map_core import MapConfig, MapCore
from tests.rathena.twin.people import person, status_of
from tests.rathena.twin.player import Phase

FIRST = person(0)
LOCAL = ip_bytes("127.0.0.1")


def ids(effects: list[Effect], to: int | None = None) -> list[str]:
    return [f"{id_of(e.data):04x}" for e in effects if isinstance(e, Send) and to in {None, e.to}]


def map_server(**config: int) -> MapCore:
    """Linked at 0 ms, with nothing else said."""
    core = MapCore(MapConfig(maps=("prontera",), **config))  # type: ignore[arg-type]
    core.start(0)
    core.opened(CHAR, 0)
    core.received(CHAR, inter.LoginAck().pack(), 0)
    core.received(CHAR, inter.MapsAck(whisper_name=b"", server_name=b"").pack(), 0)
    return core


def knock(core: MapCore, now_ms: int = 0) -> list[Effect]:
    core.opened(1, now_ms)
    hello = client.Enter(account_id=FIRST.account_id, char_id=FIRST.char_id, login_id1=9, sex=1)
    return core.received(1, hello.pack(), now_ms)


def come_in(core: MapCore) -> list[Effect]:
    knock(core)
    answer = inter.AuthOk(
        account_id=FIRST.account_id,
        login_id1=9,
        login_id2=8,
        expiration=0,
        group_id=0,
        changing_map_servers=0,
        status=status_of(FIRST, "prontera", 10, 20),
    )
    return core.received(CHAR, answer.pack(), 0)


def elapse(core: MapCore, until_ms: int) -> list[tuple[int, Effect]]:
    """Every timer at its own time."""
    found: list[tuple[int, Effect]] = []
    while (due_ms := core.due_ms()) <= until_ms:
        found += [(due_ms, effect) for effect in core.advance(due_ms)]
    return found


def test_a_silent_char_server_is_asked_after_60_s_and_left_after_120_s() -> None:
    core = map_server(autosave_ms=10_000_000, users_ms=10_000_000)

    told = elapse(core, 130_000)

    asked = [t_ms for t_ms, effect in told if isinstance(effect, Send) and id_of(effect.data) == 0x2B23]
    left = [t_ms for t_ms, effect in told if effect == Cut(CHAR)]
    assert len(asked) == 1
    assert 60_000 <= asked[0] <= 61_000
    assert 120_000 < left[0] <= 121_000


def test_a_lost_link_is_dialled_after_1_s_and_then_every_10_s() -> None:
    core = map_server()
    core.closed(CHAR, 5_000)

    dials = []
    for _ in range(3):
        t_ms = next(t_ms for t_ms, effect in elapse(core, core.timers["reconnect"]) if isinstance(effect, Dial))
        dials.append(t_ms)
        core.closed(CHAR, t_ms)

    assert dials == [6_000, 16_000, 26_000]


def test_who_is_about_to_enter_when_the_link_goes_is_refused() -> None:
    core = map_server()
    assert ids(knock(core)) == ["0283", "2b26"]

    told = core.closed(CHAR, 10)

    assert ids(told, 1) == ["0081"]
    assert core.players == {}


def test_a_2b05_that_was_not_answered_is_said_again_after_the_relink() -> None:
    core = map_server()
    come_in(core)
    core.players[FIRST.account_id].entered = True
    core.received(CHAR, inter.OtherMaps.of(LOCAL, 5_009, [b"izlude"]).pack(), 0)
    moving = core.received(1, client.Chat(text=b"x : @jump izlude 5 5\0").pack(), 0)
    core.closed(CHAR, 0)

    core.opened(CHAR, 1_000)
    core.received(CHAR, inter.LoginAck().pack(), 1_000)
    again = core.received(CHAR, inter.MapsAck(whisper_name=b"", server_name=b"").pack(), 1_000)

    assert ids(moving)[-1] == "2b05"
    assert ids(again) == ["2aff", "2b05"]
    assert core.remote == {}


def test_a_refused_2b05_costs_the_connection() -> None:
    core = map_server()
    come_in(core)
    core.players[FIRST.account_id].phase = Phase.MOVING

    refused = inter.ChangeMapServerAck(
        account_id=FIRST.account_id, char_id=0, login_id1=0, login_id2=0, map=b"", x=0, y=0, dest_ip=LOCAL, dest_port=0
    )
    told = core.received(CHAR, refused.pack(), 0)

    assert ids(told, 1) == ["0081"]
    assert ids(core.closed(1, 0), CHAR)[-1] == "2b01"


def test_an_unanswered_2b26_is_given_up() -> None:
    core = map_server(autosave_ms=10_000_000, client_stall_ms=0)
    knock(core)

    told = [effect for t_ms, effect in elapse(core, 61_000) if t_ms >= 60_000]

    assert "2b17" in ids(told)
    assert ids(told, 1) == ["0081"]


def test_a_character_whose_map_is_not_here_is_refused() -> None:
    core = map_server()
    core.maps.clear()

    told = come_in(core)

    assert ids(told, 1) == ["0081"]
    assert ids(told, CHAR) == ["2b17"]


def test_a_refusal_of_the_login_ends_the_process() -> None:
    core = MapCore(MapConfig(maps=("prontera",)))
    core.start(0)
    core.opened(CHAR, 0)

    told = core.received(CHAR, inter.LoginAck(error=3).pack(), 0)

    assert [effect.code for effect in told if isinstance(effect, Exit)] == [1]


def test_a_client_takes_its_time_to_load_and_ticks() -> None:
    ticket = Ticket(FIRST.account_id, FIRST.char_id, 1, 2, 1, "prontera", "127.0.0.1", 1)
    player = ClientCore(ticket, ("127.0.0.1", 1), load_ms=200, tick_ms=1_000)
    player.opened(0, 0)
    player.received(0, client.MapMove(map=b"prontera.gat", x=1, y=1).pack(), 100)

    assert player.due_ms() == 300
    assert ids(player.advance(300)) == ["007d"]
    assert [ids(player.advance(t_ms)) for t_ms in (1_300, 2_300)] == [["0360"], ["0360"]]
    assert player.loads == [(300, "prontera")]
