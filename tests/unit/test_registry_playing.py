"""services/registry/playing: who is in the game by what was said and what was asked."""

from itertools import permutations

from libs.events import HostId, MapLeave, MapName, PlayersOnlineReply
from services.registry.playing import GRACE_MS, RESYNC_MS, RETRY_MS, Playing
from tests.unit.builders import T0, enter

H1, H2 = HostId("h1"), HostId("h2")


def left(account: int = 1, to_map: str | None = None) -> MapLeave:
    to = MapName(to_map) if to_map else None
    return MapLeave(map=MapName("m1"), account_id=account, char_id=1, at_ms=T0, to_map=to)


def online(*accounts: int) -> PlayersOnlineReply:
    return PlayersOnlineReply(at_ms=T0, accounts=list(accounts))


def begun(*hosts: HostId, must_play: bool = True, known: tuple[int, ...] | None = ()) -> Playing:
    """These are account 1's; known: whom the bridge named at first, None: it has not answered."""
    playing = Playing(must_play)
    for host in hosts or (H1,):
        playing.bind(host, 1, T0)
    playing.begin(T0)
    if must_play:
        assert playing.question(T0) is not None
        playing.on_online(None if known is None else online(*known), T0)
    return playing


def test_an_enter_names_every_host_of_the_account_whether_hosts_must_play_or_not() -> None:
    for must_play in (True, False):
        playing = begun(H1, H2, must_play=must_play)

        assert set(playing.on_movement(enter(account_id=1), T0)) == {H1, H2}
        assert list(playing.on_movement(enter(account_id=2), T0)) == []


def test_what_the_log_held_before_the_start_is_no_news() -> None:
    playing = Playing(must_play=True)
    playing.bind(H1, 1, T0)

    assert list(playing.on_movement(enter(account_id=1), T0)) == []
    playing.begin(T0)
    playing.on_online(online(), T0)

    assert playing.standing(H1, T0 + GRACE_MS) == "gone"


def test_where_hosts_need_not_play_nobody_is_asked_and_everybody_counts() -> None:
    playing = begun(must_play=False)

    playing.on_movement(left(), T0)

    assert playing.question(T0 + 10 * RESYNC_MS) is None
    assert playing.standing(H1, T0 + 10 * GRACE_MS) == "in"


def test_a_player_who_leaves_is_away_for_the_grace_and_then_gone() -> None:
    playing = begun(known=(1,))

    assert set(playing.on_movement(left(), T0)) == {H1}

    assert [playing.standing(H1, T0 + ms) for ms in (0, GRACE_MS - 1, GRACE_MS)] == ["away", "away", "gone"]


def test_one_who_comes_back_is_in_and_has_his_whole_grace_again() -> None:
    playing = begun(known=(1,))
    playing.on_movement(left(), T0)

    playing.on_movement(enter(account_id=1), T0 + GRACE_MS - 1)
    playing.on_movement(left(), T0 + GRACE_MS)

    assert playing.standing(H1, T0 + 2 * GRACE_MS - 1) == "away"


def test_from_map_to_map_is_not_leaving() -> None:
    playing = begun(known=(1,))

    playing.on_movement(left(to_map="m2"), T0)

    assert playing.standing(H1, T0 + GRACE_MS) == "in"


def test_while_nobody_knows_a_host_is_neither_in_nor_gone() -> None:
    playing = begun(known=None)

    assert playing.standing(H1, T0 + 10 * GRACE_MS) == "away"
    playing.on_movement(enter(account_id=1), T0)
    assert playing.standing(H1, T0) == "in"


def test_the_grace_of_those_whom_the_first_answer_does_not_name_begins_with_it() -> None:
    playing = begun(known=None)
    late_ms = T0 + 10 * GRACE_MS
    assert playing.question(late_ms) is not None

    assert set(playing.on_online(online(2), late_ms)) == {H1}

    assert [playing.standing(H1, late_ms + ms) for ms in (GRACE_MS - 1, GRACE_MS)] == ["away", "gone"]


def test_who_moved_while_it_was_asked_is_where_he_moved_to() -> None:
    playing = begun(H1, known=(1,))
    playing.bind(H2, 2, T0)
    now_ms = T0 + RESYNC_MS
    assert playing.question(now_ms) is not None

    playing.on_movement(left(1), now_ms)
    playing.on_movement(enter(account_id=2), now_ms)
    playing.on_online(online(1), now_ms)

    assert (playing.standing(H1, now_ms), playing.standing(H2, now_ms)) == ("away", "in")


def test_the_bridges_word_makes_good_what_was_not_heard() -> None:
    playing = begun(known=(1,))
    now_ms = T0 + RESYNC_MS
    assert playing.question(now_ms - 1) is None
    assert playing.question(now_ms) is not None

    assert set(playing.on_online(online(), now_ms)) == {H1}

    assert playing.standing(H1, now_ms + GRACE_MS) == "gone"


def test_no_answer_changes_nothing_and_is_asked_for_again_soon() -> None:
    playing = begun(known=(1,))
    now_ms = T0 + RESYNC_MS
    playing.question(now_ms)

    assert playing.question(now_ms + RETRY_MS) is None  # one at a time
    playing.on_online(None, now_ms)

    assert playing.standing(H1, now_ms) == "in"
    assert playing.question(now_ms + RETRY_MS) is not None


def test_after_a_gap_it_is_asked_at_once() -> None:
    playing = begun(known=(1,))

    playing.on_gap(T0 + 5)

    assert playing.question(T0 + 5) is not None


def test_a_host_bound_to_another_account_is_that_ones() -> None:
    playing = begun(known=(1,))

    playing.bind(H1, 2, T0)

    assert playing.standing(H1, T0 + GRACE_MS) == "gone"
    assert list(playing.on_movement(enter(account_id=1), T0)) == []


def test_a_forgotten_host_is_nobodys() -> None:
    playing = begun(H1, H2, known=(1,))

    playing.unbind(H1)
    playing.unbind(H1)

    assert set(playing.on_movement(left(), T0)) == {H2}


def test_every_order_of_words_ends_where_the_last_word_says() -> None:
    """Whatever interleaving of enters, leaves and answers: after an answer nobody overtook, it is as answered."""
    for order in permutations(("enter", "leave", "ask", "answer_in", "answer_out")):
        playing = begun(known=(1,))
        now_ms, open_, truth = T0 + RESYNC_MS, False, True
        for word in order:
            now_ms += RESYNC_MS
            if word == "enter":
                playing.on_movement(enter(account_id=1), now_ms)
                truth = True
            elif word == "leave":
                playing.on_movement(left(), now_ms)
                truth = False
            elif word == "ask":
                open_ = playing.question(now_ms) is not None
            elif open_:
                open_ = False
                overtaken = order.index("ask") < order.index("enter") < order.index(word) or (
                    order.index("ask") < order.index("leave") < order.index(word)
                )
                playing.on_online(online(1) if word == "answer_in" else online(), now_ms)
                truth = truth if overtaken else word == "answer_in"
        assert (playing.standing(H1, now_ms) == "in") is truth, order
