"""Answers that name nobody go to who asked."""

from libs.rathena import inter
from tests.rathena import captured
from tests.rathena.bridging import Lab, kinds, ups


def test_answers_that_name_nobody_go_to_who_asked_in_the_order_of_the_questions() -> None:
    lab = Lab()
    castles, clans = captured.every(0x3840, "char>gw")[0].packet, captured.every(0x38A0, "char>gw")[0].packet
    for node in (lab.fallback, lab.core):
        lab.up(node, inter.GuildCastleLoad(castle_ids=bytes(4)).pack())
    for node in (lab.host, lab.core):
        lab.up(node, inter.ClanListRequest().pack())

    assert [lab.to(castles), lab.to(castles)] == [{"fallback"}, {"core"}]
    assert [lab.to(clans), lab.to(clans)] == [{"h1/prt_fild08"}, {"core"}]
    assert lab.to(clans) == {"core", "fallback"}


def test_a_question_whose_asker_has_gone_is_answered_to_nobody_else_of_the_hosts() -> None:
    lab = Lab()
    lab.up(lab.host, inter.ClanListRequest().pack())
    lab.unlink(lab.host)

    assert lab.to(captured.every(0x38A0, "char>gw")[0].packet) == {"core", "fallback"}


def test_a_name_goes_to_all_who_wait_for_it() -> None:
    lab = Lab()
    for node in (lab.host, lab.other, lab.host):
        assert ups(lab.up(node, inter.SearchCharName(char_id=9).pack()))

    assert lab.to(inter.CharName(char_id=9, name=b"Nine").pack()) == {"h1/prt_fild08", "h2/prt_fild01"}


def test_a_gms_question_is_the_vps_alone_and_answered_line_by_line() -> None:
    lab = Lab()
    question = inter.AccountInfoRequest(requester_fd=7, account_id=lab.one.account_id, group_level=99, query=b"LabTwo").pack()
    line = b"\x07\x38\x10\x00" + b"".join(n.to_bytes(4, "little") for n in (7, lab.one.account_id)) + b"line"

    assert kinds(lab.up(lab.host, question)) == ["refused"]
    lab.up(lab.core, question)
    assert [lab.to(line), lab.to(line)] == [{"core"}, {"core"}]


def test_waiting_questions_are_bounded() -> None:
    lab = Lab()

    for number in range(5_000):
        lab.up(lab.host, inter.SearchCharName(char_id=number + 1).pack())

    assert lab.to(inter.CharName(char_id=1, name=b"old").pack()) == {"core", "fallback"}
    assert lab.to(inter.CharName(char_id=5_000, name=b"new").pack()) == {"h1/prt_fild08"}


def test_answered_questions_wait_no_more() -> None:
    lab = Lab()
    lab.up(lab.other, inter.SearchCharName(char_id=9_999).pack())

    for number in range(5_000):
        lab.up(lab.host, inter.SearchCharName(char_id=number + 1).pack())
        lab.to(inter.CharName(char_id=number + 1, name=b"who").pack())

    assert lab.to(inter.CharName(char_id=9_999, name=b"old").pack()) == {"h2/prt_fild01"}


def test_another_char_server_owes_no_answers() -> None:
    lab = Lab()
    lab.up(lab.host, inter.ClanListRequest().pack())

    lab.mux.char_server_lost()

    assert lab.to(captured.every(0x38A0, "char>gw")[0].packet) == {"core", "fallback"}
