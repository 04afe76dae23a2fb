"""A whisper is answered once, and truly; words reach whom they are for, on whatever server."""

import pytest

from libs.rathena import inter
from libs.rathena.layout import CHARACTER, shipped
from libs.rathena.structs import patched
from services.bridge.chat import ANSWER_WITHIN_MS, OPEN_MAX
from services.bridge.effects import Down, Report, Up
from services.bridge.groups import CLAN, GUILD, PARTY
from tests.rathena import captured
from tests.rathena.bridging import CHAR, ONE, THREE, TWO, Lab, kinds, servers, status_of, ups


def asked(target: bytes, whisper_id: int = 7) -> bytes:
    return inter.WhisperCopy(whisper_id=whisper_id, sender_group_level=0, sender=ONE, target=target, message=b"hello\0").pack()


def answer(flag: int, whisper_id: int = 7) -> bytes:
    return inter.WhisperReply(whisper_id=whisper_id, flag=flag).pack()


def test_the_recorded_whisper_that_lied_is_told_true() -> None:
    """s2: three nodes behind one slot; the first "not here" ended it though the third delivered."""
    lab = Lab()
    question = captured.every(0x3801, "char>gw")[0].packet
    whisper_id = inter.WhisperCopy.unpack(question).whisper_id

    effects = lab.down(question)
    replies = lab.up(lab.other, answer(0, whisper_id))

    assert servers(lab, effects) == {"h2/prt_fild01"}
    assert replies == [Up(answer(0, whisper_id))]


def test_somebody_unknown_is_looked_for_on_all_of_the_vps_and_nowhere_else() -> None:
    lab = Lab()

    effects = lab.down(asked(b"NoSuchOne"))
    first = lab.up(lab.core, answer(1))
    second = lab.up(lab.fallback, answer(1))

    assert servers(lab, effects) == {"core", "fallback"}
    assert first == []
    assert second == [Up(answer(1))]


def test_the_first_answer_that_is_not_not_here_wins_and_later_ones_are_dropped() -> None:
    lab = Lab()
    lab.down(asked(b"NoSuchOne"))

    ignored = lab.up(lab.fallback, answer(2))
    late = lab.up(lab.core, answer(1))

    assert ignored == [Up(answer(2))]
    assert kinds(late) == ["dropped"]
    assert not ups(late)


def test_who_was_not_asked_cannot_answer() -> None:
    lab = Lab()
    lab.down(asked(THREE))

    forged = lab.up(lab.host, answer(0))

    assert kinds(forged) == ["dropped"]
    assert lab.mux.whispers.waiting == 1


def test_a_node_that_says_nothing_is_not_there_after_a_second() -> None:
    lab = Lab()
    lab.down(asked(THREE), now_ms=5_000)

    early = list(lab.mux.due(5_000 + ANSWER_WITHIN_MS - 1))
    due = list(lab.mux.due(5_000 + ANSWER_WITHIN_MS))

    assert early == []
    assert due == [Up(answer(1))]
    assert lab.mux.whispers.waiting == 0


def test_a_node_whose_link_ends_is_not_waited_for() -> None:
    lab = Lab()
    lab.down(asked(THREE))

    effects = lab.unlink(lab.other)

    assert Up(answer(1)) in effects


def test_who_is_between_two_servers_is_not_online() -> None:
    lab = Lab()
    lab.three.owner = None

    assert lab.down(asked(THREE)) == [Up(answer(1))]


def test_open_whispers_are_bounded_and_the_oldest_is_given_up() -> None:
    lab = Lab()

    effects = [effect for number in range(OPEN_MAX + 1) for effect in lab.down(asked(THREE, number))]

    assert ups(effects) == [answer(1, 0)]
    assert lab.mux.whispers.waiting == OPEN_MAX


def test_an_id_that_comes_again_is_another_whisper() -> None:
    lab = Lab()
    lab.down(asked(THREE))

    effects = lab.down(asked(TWO))

    assert ups(effects) == [answer(1)]
    assert lab.up(lab.host, answer(0)) == [Up(answer(0))]


def test_a_new_char_server_waits_for_nothing() -> None:
    lab = Lab()
    lab.down(asked(THREE))

    lab.mux.char_server_lost()

    assert list(lab.mux.due(10_000)) == []


def test_a_host_whispers_in_the_name_of_its_own_alone_and_with_no_rank() -> None:
    lab = Lab()
    own = inter.Whisper(sender_group_level=99, sender=TWO, target=ONE, message=b"psst\0")
    forged = inter.Whisper(sender_group_level=0, sender=THREE, target=ONE, message=b"psst\0")

    (passed,) = ups(lab.up(lab.host, own.pack()))

    assert inter.Whisper.unpack(passed).sender_group_level == 0
    assert inter.Whisper.unpack(passed).message == b"psst\0"
    assert kinds(lab.up(lab.host, forged.pack())) == ["fenced"]


def test_the_vps_may_whisper_in_its_own_name_and_a_stale_server_in_nobodys() -> None:
    lab = Lab()
    notice = inter.Whisper(sender_group_level=99, sender=b"Server", target=TWO, message=b"hi\0").pack()
    stale = inter.Whisper(sender_group_level=0, sender=TWO, target=ONE, message=b"hi\0").pack()

    assert ups(lab.up(lab.core, notice)) == [notice]
    assert kinds(lab.up(lab.core, stale)) == ["fenced"]


def test_the_result_of_a_whisper_goes_to_who_whispered() -> None:
    lab = Lab()

    assert lab.to(inter.WhisperResult(sender=TWO, flag=0).pack()) == {"h1/prt_fild08"}
    assert lab.to(inter.WhisperResult(sender=b"Server", flag=0).pack()) == {"core", "fallback"}


@pytest.mark.parametrize(("said", "heard"), [(0x3000, 0x3800), (0x3027, 0x3827), (0x3037, 0x3837)])
def test_copies_are_what_the_char_server_sent_to_another_slot(said: int, heard: int) -> None:
    """s7, s7b: two slots, so that it made the copies itself."""
    recorded = captured.every(said, "gw>char")
    made = {packet.packet for packet in captured.every(heard, "char>gw")}
    lab = Lab()
    lab.one.owner = lab.two.owner = lab.three.owner = lab.core

    effects = [effect for packet in recorded for effect in lab.up(lab.core, packet.packet)]

    assert ups(effects) == [packet.packet for packet in recorded]
    to_fallback = {effect.packet for effect in effects if isinstance(effect, Down) and effect.link == lab.fallback.link}
    assert made
    assert made <= to_fallback


def test_a_broadcast_reaches_every_other_node() -> None:
    lab = Lab()
    broadcast = captured.every(0x3000, "gw>char")[0].packet

    assert servers(lab, lab.up(lab.core, broadcast)) == {"fallback", "h1/prt_fild08", "h2/prt_fild01"}


def test_a_node_that_is_not_ready_hears_nothing() -> None:
    lab = Lab()
    lab.fallback.ready = lab.host.ready = False
    broadcast = captured.every(0x3000, "gw>char")[0].packet

    assert servers(lab, lab.up(lab.core, broadcast)) == {"h2/prt_fild01"}


def test_words_to_a_party_reach_the_vps_and_the_hosts_of_its_members() -> None:
    lab = Lab()
    lab.mux.groups.join(PARTY, 1, CHAR + 2)
    words = inter.PartyMessage(party_id=1, account_id=lab.two.account_id, message=b"LabTwo : hi\0").pack()

    alone = servers(lab, lab.up(lab.host, words))
    lab.mux.groups.join(PARTY, 1, CHAR + 3)
    together = servers(lab, lab.up(lab.host, words))

    assert alone == {"core", "fallback"}
    assert together == {"core", "fallback", "h2/prt_fild01"}


@pytest.mark.parametrize(
    ("kind", "said"), [(PARTY, inter.PartyMessage), (GUILD, inter.GuildMessage), (CLAN, inter.ClanMessage)]
)
def test_a_host_speaks_to_the_groups_of_its_players_in_their_names(kind: str, said: type[inter.PartyMessage]) -> None:
    lab = Lab()
    lab.mux.groups.join(kind, 5, CHAR + 2)

    def says(group: int, account: int, message: bytes) -> list[str]:
        packet = said.packet_id.to_bytes(2, "little") + (12 + len(message)).to_bytes(2, "little")
        packet += group.to_bytes(4, "little") + account.to_bytes(4, "little") + message
        effects = lab.up(lab.host, packet)
        return kinds(effects) or [type(effects[0]).__name__]

    mine, others = lab.two.account_id, lab.three.account_id
    assert says(5, mine, b"LabTwo : hi\0") == ["Up"]
    assert says(6, mine, b"LabTwo : hi\0") == ["forged"]
    assert says(5, mine, b"LabThree : hi\0") == ["forged"]
    assert says(5, mine, b"LabTwo : " + b"x" * 300) == ["forged"]
    assert says(5, others, b"LabThree : hi\0") == ["fenced"]


def test_a_find_is_told_of_a_hosts_own_player_alone() -> None:
    lab = Lab()
    own = inter.BroadcastItem(item_id=501, source=0, type=2, name=TWO, source_name=b"Poring".ljust(24, b"\0")).pack()
    forged = inter.BroadcastItem(item_id=501, source=0, type=2, name=THREE).pack()
    odd = inter.BroadcastItem(item_id=501, source=0, type=2, name=TWO, source_name=b"Poring").pack()

    effects = lab.up(lab.host, own)

    assert ups(effects) == [own]
    assert servers(lab, effects) == {"core", "fallback", "h2/prt_fild01"}
    assert kinds(lab.up(lab.host, forged)) == kinds(lab.up(lab.host, odd)) == ["forged"]


def test_who_is_of_a_clan_counts_once_for_its_nodes() -> None:
    lab = Lab()
    for number in (2, 3):
        lab.mux.groups.learn(patched(shipped(), CHARACTER, status_of(number), {"clan_id": 4}))

    came = lab.up(lab.host, inter.ClanMemberJoined(clan_id=4).pack())
    went = lab.up(lab.host, inter.ClanMemberLeft(clan_id=4).pack())
    forged = lab.up(lab.host, inter.ClanMemberLeft(clan_id=5).pack())

    assert servers(lab, came) == {"core", "fallback", "h2/prt_fild01"}
    assert {effect.packet for effect in came if isinstance(effect, Down)} == {inter.ClanOnlineCount(clan_id=4, count=2).pack()}
    assert {effect.packet for effect in went if isinstance(effect, Down)} == {inter.ClanOnlineCount(clan_id=4, count=1).pack()}
    assert kinds(forged) == ["forged"]


def test_a_whisper_that_is_none_is_dropped() -> None:
    lab = Lab()

    assert lab.down(b"\x01\x38\x06\x00\x00\x00") == [Report("dropped", "char-server", 0x3801, "no whisper")]
