"""A host whose link broke has a window to come back, unless its players' connections ended as well (services/bridge/doubt.py).
And who is refused a link is reported (said.py)."""

import pytest

from libs.events import HostId, OpsAlert
from libs.hosting.effects import Say
from libs.link.messages import Serve
from libs.link.seldom import ALERT_MS, KNOWN_MAX
from services.bridge.doubt import WITNESS_MS
from services.bridge.effects import Cut, Report
from tests.rathena.bridge_game import CORE, HOST, Game, on_a_host, playing

OTHER, STRANGE = 4, 5


def placed() -> tuple[Game, Serve]:
    """LabOne plays on the host, which has another map-server."""
    game = on_a_host()
    game.link(OTHER, 6001, b"pay_fild03", host="h1")
    game.link(STRANGE, 6002, b"prt_fild01", host="h2")
    game.wait(WITNESS_MS + 50)
    player = next(iter(game.bridge.state.players))
    serve = Serve(
        conn=1,
        switch=player.switch,
        server="h1/moc_fild01",
        tenure=1,
        address="127.0.0.1",
        port=6000,
        enter=b"",
        login_id1=7,
        login_id2=8,
        resume=True,
        map="moc_fild01",
        x=1,
        y=1,
    )
    game.out.clear()
    return game, serve


def doubt(game: Game, doubtful: bool = True, *links: int) -> None:
    for link in links or (HOST, OTHER):
        game.bridge.doubt.link(link, doubtful, game.now_ms)
        game.take()


def cut(game: Game) -> list[int]:
    return [effect.link for effect in game.out if isinstance(effect, Cut)]


def test_a_broken_link_alone_costs_nobody_anything() -> None:
    game, _ = placed()

    doubt(game)
    game.wait(1_000)

    assert cut(game) == []
    assert game.bridge.state.nodes.get(HOST) is not None


def test_a_player_whose_connection_ends_while_the_link_is_broken_tells_that_the_host_is_dead() -> None:
    game, serve = placed()

    doubt(game)
    game.lost(serve)

    assert sorted(cut(game)) == [HOST, OTHER]
    assert game.bridge.state.nodes.get(STRANGE) is not None


def test_the_same_when_the_player_is_told_of_first() -> None:
    game, serve = placed()

    game.lost(serve)
    game.wait(50)
    doubt(game)

    assert HOST in cut(game)


def test_a_connection_that_ended_before_is_no_witness() -> None:
    game, serve = placed()

    game.lost(serve)
    game.wait(WITNESS_MS + 50)
    doubt(game)

    assert cut(game) == []


def test_a_player_who_was_told_to_go_is_no_witness() -> None:
    game, serve = placed()

    doubt(game)
    game.lost(serve, code=15)

    assert cut(game) == []


def test_a_link_that_is_back_is_in_no_doubt() -> None:
    game, serve = placed()

    doubt(game)
    doubt(game, False)
    game.lost(serve)

    assert cut(game) == []


def test_a_map_server_of_the_vps_is_never_in_doubt_for_a_player() -> None:
    game, serve = playing()

    game.lost(serve)

    assert cut(game) == []
    assert game.bridge.state.nodes.get(CORE) is not None


def test_a_link_that_is_gone_is_nobodys() -> None:
    game, _ = placed()

    doubt(game, True, 99)

    assert cut(game) == []


# -- refused ------------------------------------------------------------------------------------------------------------------


def alerts(game: Game) -> list[OpsAlert]:
    said = [effect.event for effect in game.bridge.step(game.now_ms) if isinstance(effect, Say)]
    return [event for event in said if isinstance(event, OpsAlert)]


def refuse(game: Game, host: str | None = "h1", why: str = "replayed") -> None:
    game.bridge.said.link_refused(HostId(host) if host else None, why, "it was used before", game.now_ms)
    game.take()


def test_a_refusal_is_counted_and_said_of_its_host() -> None:
    game, _ = placed()

    refuse(game)

    assert [effect for effect in game.out if isinstance(effect, Report)] == [
        Report("ticket", "h1", 0, "replayed: it was used before")
    ]
    (alert,) = alerts(game)
    assert (alert.about, alert.what, alert.by) == ("h1", "link_refused", "bridge")


def test_what_proves_nothing_of_a_host_is_said_of_none() -> None:
    game, _ = placed()

    refuse(game, None, "signature")

    assert [alert.about for alert in alerts(game)] == ["bridge"]
    assert [effect.server for effect in game.out if isinstance(effect, Report)] == ["a stranger"]


def test_a_flood_of_refusals_is_one_alert_a_minute() -> None:
    game, _ = placed()

    for _ in range(100):
        refuse(game)
    assert len(alerts(game)) == 1

    game.now_ms += ALERT_MS
    refuse(game)
    assert len(alerts(game)) == 1


def test_many_hosts_are_remembered_within_bounds() -> None:
    game, _ = placed()

    for number in range(KNOWN_MAX + 10):
        refuse(game, f"h{number}")

    assert len(game.bridge.said._alerts) == KNOWN_MAX


@pytest.mark.parametrize("connected", [True, False])
def test_without_a_bus_nobody_is_told_but_the_log(connected: bool) -> None:
    game, _ = placed()
    game.bridge.on_bus(connected, game.now_ms)

    refuse(game)

    assert len(alerts(game)) == connected
    assert "ticket" in game.reports()
