"""services/registry: what is observed of a host counts in its host.up; it is judged when its player enters a map."""

from collections.abc import Callable

from libs.events import CheckKind, HostCheck, HostCheckReply, HostId, HostRtt, PlayersOnline, PlayersOnlineReply, Reply
from libs.hosting.effects import Ask
from services.registry.playing import GRACE_MS, RESYNC_MS
from tests.unit.builders import EU, T0, assign, enter, host_up, leave
from tests.unit.registry_bench import BUSY_MS, Bench, report

MUST_PLAY = {"hosts_must_play": True}


def timed_by_the_relay(bench: Bench, p50_ms: float) -> None:
    bench.registry.on_heard(HostRtt(host=HostId("h1"), at_ms=T0, region=EU, p50_ms=p50_ms, p95_ms=p50_ms), bench.now_ms)
    bench.step()


def online(*accounts: int) -> PlayersOnlineReply:
    return PlayersOnlineReply(at_ms=T0, accounts=list(accounts))


# Observed beats claimed.


def test_what_the_relay_timed_is_in_host_up_where_it_is_more_than_claimed() -> None:
    bench = Bench()
    bench.beat()

    timed_by_the_relay(bench, 60.0)

    assert [up.spec.region_rtt_ms[EU] for up in bench.ups] == [15.0, 60.0]


def test_a_relays_word_of_less_than_claimed_or_of_a_stranger_changes_nothing() -> None:
    bench = Bench()
    timed_by_the_relay(bench, 60.0)
    bench.beat()

    timed_by_the_relay(bench, 4.0)

    assert [up.spec.region_rtt_ms[EU] for up in bench.ups] == [15.0]


def test_a_host_whose_answers_take_longer_than_it_claims_is_unfit_by_what_was_timed() -> None:
    bench = Bench(answer=lambda ask: HostCheckReply(proof=""), answers_after_ms=200)

    bench.beat_for(6_000, "h1", latency_ms=3.0)

    assert [up.spec.latency_ms for up in bench.ups] == [3.0]
    assert [(down.reason, down.detail) for down in bench.downs] == [("unfit", "net_max_latency: 200, needed at most 30")]


def test_a_replica_that_only_listens_has_timed_the_hosts_when_it_takes_over() -> None:
    bench = Bench(active=False, answer=lambda ask: HostCheckReply(proof=""), answers_after_ms=200)
    bench.beat_for(6_000, "h1", latency_ms=3.0)

    bench.registry.on_lease(7, bench.now_ms)
    bench.beat_for(1_000, "h1", latency_ms=3.0)

    assert bench.ups == []
    assert bench.orders[-1].notes == ["net_max_latency: 200, needed at most 30"]


def test_who_does_not_answer_is_taken_at_his_word() -> None:
    bench = Bench()

    bench.beat_for(6_000, "h1", latency_ms=3.0)

    assert [up.spec.latency_ms for up in bench.ups] == [3.0]
    assert {ask.request.kind for ask in bench.asked if isinstance(ask.request, HostCheck)} == {CheckKind.PRESENCE}


# At the door.


def test_a_host_is_judged_in_the_very_step_after_its_player_entered_a_map() -> None:
    bench = Bench(general=MUST_PLAY, answer=_online())
    bench.beat_for(1_000, "h1")
    assert bench.ups == []
    assert bench.orders[-1].notes == ["its account is not in the game"]

    bench.log.say(enter(account_id=1))
    bench.step()

    assert [up.host for up in bench.ups] == ["h1"]


def test_another_players_entering_brings_nobody_up() -> None:
    bench = Bench(general=MUST_PLAY, answer=_online())
    bench.beat_for(1_000, "h1")

    bench.log.say(enter(account_id=2))
    bench.beat_for(1_000, "h1")

    assert bench.ups == []


def test_where_hosts_need_not_play_a_host_is_up_without_its_player_and_nobody_is_asked() -> None:
    bench = Bench()

    bench.beat_for(RESYNC_MS, "h1", every_ms=2_000)

    assert len(bench.ups) == 1
    assert not any(isinstance(ask.request, PlayersOnline) for ask in bench.asked)


def test_who_was_in_the_game_before_the_registry_started_is_known_by_asking_the_bridge() -> None:
    bench = Bench(general=MUST_PLAY, answer=_online(1))

    bench.beat_for(1_000, "h1")

    assert [up.host for up in bench.ups] == ["h1"]


def test_when_the_player_left_and_is_not_back_in_a_minute_the_maps_move_in_order_and_then_the_host_is_down() -> None:
    bench = Bench(general=MUST_PLAY, answer=_online(1))
    bench.beat()
    bench.log.say(assign("m1", "h1"))
    bench.beat_for(1_000, "h1", maps={"m1": report()})

    bench.answer = _online()
    bench.log.say(leave())
    bench.beat_for(GRACE_MS - BUSY_MS, "h1", maps={"m1": report()})
    before = [up.draining for up in bench.ups]
    bench.beat_for(1_000, "h1", maps={"m1": report()})
    assert (any(before), bench.ups[-1].draining, bench.downs) == (False, True, [])
    bench.log.say(assign("m1", None))
    bench.beat()

    assert [(down.reason, down.detail) for down in bench.downs] == [
        ("drained", "its account is not in the game: it serves no map any more")
    ]
    assert bench.downs[0].disconnects_ms == []


def test_a_host_with_another_bundle_than_the_wanted_one_is_told_and_gets_no_map_until_it_has_it() -> None:
    bench = Bench(general={"hosts_bundle": "new"})

    bench.beat_for(1_000, "h1", bundle="old")
    told, up_before = bench.orders[-1].notes, bench.ups
    bench.beat(bundle="new")

    assert (told, up_before) == (["bundle: old, needed new"], [])
    assert [up.draining for up in bench.ups] == [False]


def test_when_the_operator_wants_another_bundle_the_maps_move_in_order_and_the_host_is_back_with_it() -> None:
    bench = Bench(general={"hosts_bundle": "new"})
    bench.beat(bundle="new")
    bench.log.say(assign("m1", "h1"))
    bench.beat_for(1_000, "h1", maps={"m1": report()}, bundle="new")

    bench.beat_for(1_000, "h1", maps={"m1": report()}, bundle="old")
    draining, downs = bench.ups[-1].draining, list(bench.downs)
    bench.log.say(assign("m1", None))
    bench.beat(bundle="old")
    bench.beat_for(1_000, "h1", bundle="new")

    assert (draining, downs) == (True, [])
    assert [(down.reason, down.detail) for down in bench.downs] == [
        ("drained", "bundle: old, needed new: it serves no map any more")
    ]
    assert [up.draining for up in bench.ups][-1] is False


def test_a_player_who_is_back_in_time_costs_his_host_nothing() -> None:
    bench = Bench(general=MUST_PLAY, answer=_online(1))
    bench.beat()

    bench.answer = _online()
    bench.log.say(leave())
    bench.beat_for(GRACE_MS // 2, "h1")
    bench.answer = _online(1)
    bench.log.say(enter(account_id=1))
    bench.beat_for(2 * GRACE_MS, "h1")

    assert (len(bench.ups), bench.downs) == (1, [])


def test_while_the_bridge_is_away_a_host_that_is_up_stays_and_none_comes_up() -> None:
    bench = Bench(general=MUST_PLAY)
    bench.log.say(host_up("h1"))

    bench.beat_for(2 * GRACE_MS, "h1", "h2")

    assert bench.downs == []
    assert {up.host for up in bench.ups} <= {"h1"}


def _online(*accounts: int) -> Callable[[Ask], Reply | None]:
    def answer(ask: Ask) -> Reply | None:
        return online(*accounts) if isinstance(ask.request, PlayersOnline) else None

    return answer
