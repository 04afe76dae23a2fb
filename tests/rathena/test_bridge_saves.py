"""Saves of hosts wait for the validator's word, in order, and none is lost while it is out."""

from libs.events import HostId, Reply, SaveCheck, SaveVerdict
from libs.hosting.effects import Ask
from libs.rathena.inter_saves import RegistrySave, SaveChar, StorageSave
from libs.rathena.layout import shipped
from libs.rathena.structs import CHARACTER, STORAGE, integer, patched
from services.bridge.effects import Down, Report, Up
from services.bridge.nodes import Node
from services.bridge.players import Player
from services.bridge.saves import ASKS_MAX, RETRY_MS, WAITING_MAX, SaveGate
from services.bridge.state import Rules, State

LAYOUT = shipped()
HOST = HostId("h1")
PASS = SaveVerdict(verdict="pass", reason="")
REJECT = SaveVerdict(verdict="reject", reason="zeny rose by 999")
HOLD = SaveVerdict(verdict="hold", reason="not now")


class Gate:
    """A gate, a host's node, the VPS's, and a player of the host. bus: whether a validator can be asked at all."""

    def __init__(self, *, away: str = "hold", bus: bool = True) -> None:
        rules = Rules(
            front_ip=bytes(4),
            front_port=1,
            core_address=(bytes(4), 2),
            fallback_address=(bytes(4), 3),
            userid=b"s1",
            passwd=b"p1",
            when_validator_away=away,
        )
        self.state = State(rules, LAYOUT, lambda: 1)
        self.gate = SaveGate(self.state)
        self.gate.bus_up = bus
        self.host, self.vps = Node(1, "h1/moc_fild01", HOST), Node(2, "fallback", None)
        self.player = Player(2_000_001, 150_001, map=b"moc_fild01", owner=self.host)
        self.gate.learn_status(self.player, status(zeny=100))

    def offer(self, packet: bytes, node: Node | None = None) -> list[Ask]:
        self.gate.offer(node or self.host, self.player, packet)
        return list(self.gate.take())

    def answer(self, ask: Ask, reply: Reply | None) -> list[Ask]:
        self.gate.on_reply(ask, reply)
        return list(self.gate.take())

    def later(self, ms: int) -> list[Ask]:
        self.state.now_ms += ms
        return list(self.gate.take())

    @property
    def passed(self) -> list[bytes]:
        return [effect.packet for effect in self.state.out if isinstance(effect, Up)]


def status(**values: int) -> bytes:
    return patched(LAYOUT, CHARACTER, bytes(LAYOUT.size(CHARACTER)), {"base_level": 10, "job_level": 5, **values})


def save(zeny: int, *, final: int = 0) -> bytes:
    return SaveChar(account_id=2_000_001, char_id=150_001, final=final, status=status(zeny=zeny)).pack()


def storage(table: int = 1) -> bytes:
    return StorageSave(account_id=2_000_001, char_id=150_001, table=table, storage=bytes(LAYOUT.size(STORAGE))).pack()


def variables(number: int) -> bytes:
    return RegistrySave(account_id=2_000_001, char_id=150_001, count=0, vars=bytes([number])).pack()


def zeny_of(packet: bytes) -> int:
    return integer(LAYOUT, CHARACTER, SaveChar.unpack(packet).status, "zeny")


def test_what_the_vps_saves_passes_unasked() -> None:
    gate = Gate()

    assert gate.offer(save(10**9), gate.vps) == []
    assert gate.passed == [save(10**9)]


def test_a_host_is_asked_about_beside_what_was_accepted_last() -> None:
    gate = Gate()

    (ask,) = gate.offer(save(150))
    assert gate.passed == []
    request = ask.request
    assert isinstance(request, SaveCheck)
    assert (request.host, request.kind, request.before["zeny"], request.after["zeny"]) == (HOST, "character", 100, 150)

    gate.answer(ask, PASS)
    (again,) = gate.offer(save(160))
    assert gate.passed == [save(150)]
    assert isinstance(again.request, SaveCheck)
    assert again.request.before["zeny"] == 150


def test_what_follows_waits_behind_and_passes_in_order() -> None:
    gate = Gate()

    (first,) = gate.offer(storage())
    for packet in (variables(1), variables(2), save(150, final=1)):
        assert gate.offer(packet) == []
    assert gate.passed == []
    (second,) = gate.answer(first, PASS)
    gate.answer(second, PASS)

    assert gate.passed == [storage(), variables(1), variables(2), save(150, final=1)]
    assert not gate.gate.waits(gate.player)


def test_of_whole_characters_that_wait_the_newest_is_kept_and_a_final_one_always() -> None:
    gate = Gate()
    (ask,) = gate.offer(save(101))

    for packet in (save(102), save(103), save(104, final=1), save(105)):
        gate.offer(packet)
    while ask is not None:
        ask = next(iter(gate.answer(ask, PASS)), None)

    assert [zeny_of(packet) for packet in gate.passed] == [101, 104, 105]


def test_a_final_save_stays_behind_the_storages_that_came_before_it() -> None:
    gate = Gate()
    (ask,) = gate.offer(save(101))

    for packet in (save(102), storage(1), storage(2), save(103, final=1)):
        gate.offer(packet)
    while ask is not None:
        ask = next(iter(gate.answer(ask, PASS)), None)

    assert gate.passed == [save(101), storage(1), storage(2), save(103, final=1)]


def test_a_rejected_save_does_not_pass_and_is_told() -> None:
    gate = Gate()

    (ask,) = gate.offer(save(10**9))
    gate.answer(ask, REJECT)

    assert gate.passed == []
    assert [effect.why for effect in gate.state.out if isinstance(effect, Report)] == ["zeny rose by 999"]


def test_a_rejected_final_save_ends_the_stay_with_what_was_accepted() -> None:
    gate = Gate()

    (ask,) = gate.offer(save(10**9, final=1))
    gate.answer(ask, REJECT)

    (kept,) = gate.passed
    assert (zeny_of(kept), SaveChar.unpack(kept).final) == (100, 1)


def test_what_the_validator_puts_right_passes_so() -> None:
    gate = Gate()

    (ask,) = gate.offer(save(10**9))
    gate.answer(ask, SaveVerdict(verdict="reject", reason="too much", corrected={"zeny": 120}))

    assert [zeny_of(packet) for packet in gate.passed] == [120]


def test_a_rejected_storage_is_acknowledged_to_who_sent_it() -> None:
    gate = Gate()

    (ask,) = gate.offer(storage())
    gate.answer(ask, REJECT)

    assert gate.passed == []
    assert [effect.packet[:2] for effect in gate.state.out if isinstance(effect, Down)] == [b"\x8b\x38"]


def test_on_hold_it_is_asked_again_a_while_later() -> None:
    gate = Gate()

    (ask,) = gate.offer(save(150))
    assert gate.answer(ask, HOLD) == []
    (again,) = gate.later(RETRY_MS)
    gate.answer(again, PASS)

    assert gate.passed == [save(150)]


def test_without_a_validator_saves_wait_pass_or_the_vps_takes_over_as_the_operator_chose() -> None:
    waiting, passing, leaving = (Gate(away=away) for away in ("hold", "pass", "vps"))
    for gate in (waiting, passing, leaving):
        (ask,) = gate.offer(save(150))
        gate.answer(ask, None)

    assert waiting.passed == []
    assert len(waiting.later(RETRY_MS)) == 1
    assert passing.passed == leaving.passed == [save(150)]
    assert (list(passing.state.left_out), list(leaving.state.left_out)) == ([], [HOST])


def test_who_holds_saves_for_a_validator_does_so_for_a_while_only() -> None:
    gate = Gate()
    patience_ms = gate.state.rules.patience_ms

    (ask,) = gate.offer(save(150))
    gate.answer(ask, None)
    (ask,) = gate.later(patience_ms - 1)
    gate.answer(ask, None)
    assert (gate.passed, list(gate.state.left_out)) == ([], [])
    (ask,) = gate.later(RETRY_MS)
    gate.answer(ask, None)
    assert (gate.passed, list(gate.state.left_out)) == ([save(150)], [HOST])


def test_a_validator_that_answers_again_is_waited_for_anew() -> None:
    gate = Gate()
    (ask,) = gate.offer(save(150))
    gate.answer(ask, None)
    (ask,) = gate.later(gate.state.rules.patience_ms)
    gate.answer(ask, PASS)

    (ask,) = gate.offer(save(200))
    gate.answer(ask, None)

    assert (gate.passed, list(gate.state.left_out)) == ([save(150)], [])


def test_while_the_bus_is_away_nobody_is_asked() -> None:
    waiting, passing = Gate(bus=False), Gate(away="pass", bus=False)

    assert waiting.offer(save(150)) == passing.offer(save(150)) == []
    assert (waiting.passed, passing.passed) == ([], [save(150)])
    waiting.gate.bus_up = True
    assert len(waiting.later(RETRY_MS)) == 1


def test_a_save_of_another_build_ends_the_link_and_says_what_to_do() -> None:
    gate = Gate()

    gate.offer(save(150) + bytes(8))

    assert gate.passed == []
    assert any("kafra rathena layout" in getattr(effect, "reason", "") for effect in gate.state.out)


def test_what_waits_for_one_character_is_bounded() -> None:
    gate = Gate()
    (ask,) = gate.offer(save(101))

    for number in range(WAITING_MAX + 10):
        gate.offer(variables(number % 256))
    while ask is not None:
        ask = next(iter(gate.answer(ask, PASS)), None)

    assert len(gate.passed) == WAITING_MAX
    assert any(isinstance(effect, Report) and effect.kind == "dropped" for effect in gate.state.out)


def test_no_more_than_so_many_questions_are_out_at_once() -> None:
    gate = Gate()
    asks = []
    for number in range(ASKS_MAX + 5):
        player = Player(2_000_001 + number, 150_001 + number, map=b"moc_fild01", owner=gate.host)
        gate.gate.offer(gate.host, player, save(150))
        asks += gate.gate.take()

    assert len(asks) == ASKS_MAX
    assert len(gate.answer(asks[0], PASS)) == 1
