"""The database that is none: its packets, what a statement gets, and what garbage gets."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.sql import wire
from services.agent.sql.session import ANSWER_BYTES_MAX, OTHER, SHAPES_MAX, STATEMENTS_MAX, Counts, Session
from services.agent.sql.statements import COLUMNS_MAX, TooManyParts, read, wait_timeout

PASSWORD, SCRAMBLE = b"7c1f", bytes(range(1, 21))
BOOT = [
    (b"SELECT `varname`, `index`, `value` FROM `mapreg`", 3, "select mapreg"),
    (b"SELECT * FROM `db_roulette`", 5, "select db_roulette"),
    (
        b"SELECT `nameid`, UNIX_TIMESTAMP(`start`), UNIX_TIMESTAMP(`end`), `amount` FROM `sales` WHERE `end` > now()",
        4,
        "select sales",
    ),
    (b"DELETE FROM `sales` WHERE `end` < FROM_UNIXTIME(1700000000)", 0, "delete sales"),
    (b"SELECT `name`, `nameid`, `price`, `amount`, `flag` FROM `market` ORDER BY `name`", 5, "select market"),
    (b"DELETE FROM `buyingstores`;", 0, "delete buyingstores"),
    (b"INSERT INTO `mapreg`(`varname`,`index`,`value`) VALUES (?,'0','1')", 0, "insert mapreg"),
]


def proof(password: bytes = PASSWORD, scramble: bytes = SCRAMBLE) -> bytes:
    """As the protocol's description has it, written once more."""
    once = hashlib.sha1(password).digest()
    mask = hashlib.sha1(scramble + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def hello(proved: bytes, plugin: bytes = wire.PLUGIN, capabilities: int = wire.CAPABILITIES) -> bytes:
    head = capabilities.to_bytes(4, "little") + (1 << 24).to_bytes(4, "little") + b"\x21" + bytes(23)
    return head + b"kafra\0" + bytes([len(proved)]) + proved + b"none\0" + plugin + b"\0"


def packet(body: bytes, number: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def bodies(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:3], "little")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def fresh(counts: Counts | None = None) -> Session:
    return Session(1, PASSWORD, SCRAMBLE, counts or Counts())


@pytest.fixture
def session() -> Session:
    """One that is in."""
    session = fresh()
    assert bodies(session.received(packet(hello(proof()), 1)))[0][:1] == b"\x00"
    return session


def test_the_greeting_offers_no_tls_and_names_the_scramble() -> None:
    greeting = bodies(fresh().begin())[0]

    assert greeting[0] == 10
    after = greeting.index(b"\0") + 5
    assert greeting[after : after + 8] == SCRAMBLE[:8]
    assert SCRAMBLE[8:] in greeting
    assert not wire.CAPABILITIES & 1 << 11


def test_only_the_password_lets_in() -> None:
    counts = Counts()
    for wrong in (proof(b"other"), proof(scramble=bytes(20)), b"", proof()[:-1], proof() + b"\0"):
        session = fresh(counts)

        answer = bodies(session.received(packet(hello(wrong), 1)))

        assert answer[0][:3] == b"\xff\x15\x04"
        assert session.ended
        assert not session.is_in
    assert counts.refused == 5


def test_a_client_that_proves_it_in_another_way_is_asked_for_ours() -> None:
    session = fresh()

    asked = bodies(session.received(packet(hello(b"\x01" * 32, b"caching_sha2_password"), 1)))
    answer = bodies(session.received(packet(proof(), 3)))

    assert asked[0].startswith(b"\xfemysql_native_password\0" + SCRAMBLE)
    assert answer[0][:1] == b"\x00"
    assert session.is_in


def test_nothing_is_answered_before_the_password() -> None:
    session = fresh()

    answer = bodies(session.received(packet(b"\x03SELECT 1") + packet(b"\x0e")))

    assert session.ended
    assert [body[:1] for body in answer] == [b"\xff"]


@pytest.mark.parametrize(("statement", "columns", "shape"), BOOT)
def test_what_a_booting_server_asks_has_the_columns_it_expects(statement: bytes, columns: int, shape: str) -> None:
    found = read(statement)

    assert len(found.columns) == columns
    assert found.shape == shape


@pytest.mark.parametrize(
    ("statement", "columns", "parameters"),
    [
        (b"select a, f(b, (c)), 'x,y' , \"p,q\", `m,n` from t where z = '?' and y = ?", 5, 1),
        (b"(SELECT 1, 2) UNION (SELECT 3, 4)", 2, 0),
        (b"/* , , */ select 'it''s, \\', a', b -- c, d\n from t", 2, 0),
        (b"SELECT 'never closed, ? , from", 1, 0),
        (b"INSERT DELAYED INTO `picklog` VALUES (NOW(), ?, ?, '%?', ?)", 0, 3),
        (b"", 0, 0),
        (b"((((", 0, 0),
    ],
)
def test_commas_and_question_marks_within_quotes_count_for_nothing(statement: bytes, columns: int, parameters: int) -> None:
    found = read(statement)

    assert (len(found.columns), found.parameters) == (columns, parameters)


def test_a_statement_too_wide_is_refused_and_the_connection_lives(session: Session) -> None:
    wide = b"SELECT " + b"a," * COLUMNS_MAX + b"a FROM t"
    with pytest.raises(TooManyParts):
        read(wide)

    answers = bodies(session.received(packet(b"\x03" + wide) + packet(b"\x16" + wide) + packet(b"\x0e")))

    assert [body[:1] for body in answers] == [b"\xff", b"\xff", b"\x00"]


def test_how_long_silence_is_kept_is_the_one_thing_known(session: Session) -> None:
    assert wait_timeout(b"SHOW VARIABLES LIKE 'wait_timeout'")
    assert not wait_timeout(b"SELECT 'wait_timeout'")

    answer = bodies(session.received(packet(b"\x03SHOW VARIABLES LIKE 'wait_timeout'")))

    assert answer[-2] == b"\x0cwait_timeout\x0528800"


def test_a_prepared_statement_says_its_parameters_and_columns_and_has_no_rows(session: Session) -> None:
    prepared = bodies(session.received(packet(b"\x16SELECT a, b FROM t WHERE c = ?")))
    number = prepared[0][1:5]

    executed = bodies(session.received(packet(b"\x17" + number + bytes(9))))

    assert prepared[0][5:9] == b"\x02\x00\x01\x00"
    assert len(prepared) == 1 + (1 + 1) + (2 + 1)
    assert executed[0] == b"\x02"
    assert [body[:1] for body in executed[-2:]] == [b"\xfe", b"\xfe"]


def test_a_closed_statement_is_gone_and_closing_is_not_answered(session: Session) -> None:
    number = bodies(session.received(packet(b"\x16SELECT a FROM t")))[0][1:5]

    closed = session.received(packet(b"\x19" + number))
    executed = bodies(session.received(packet(b"\x17" + number + bytes(9))))

    assert closed == b""
    assert executed[0][:3] == b"\xff\xdb\x04"


def test_prepared_statements_are_bounded(session: Session) -> None:
    kept = [bodies(session.received(packet(b"\x16SELECT a FROM t")))[0][:1] for _ in range(STATEMENTS_MAX + 1)]

    assert kept == [b"\x00"] * STATEMENTS_MAX + [b"\xff"]


def test_statements_are_counted_by_shape_and_shapes_are_bounded() -> None:
    counts = Counts()
    for n in range(SHAPES_MAX + 5):
        assert counts.count(f"select t{n}") == (n < SHAPES_MAX)
    assert not counts.count("select t1")

    assert counts.statements["select t1"] == 2
    assert counts.statements[OTHER] == 5
    assert counts.unknown == SHAPES_MAX + 6


def test_an_unknown_statement_is_news_once(session: Session) -> None:
    session.received(packet(b"\x03SELECT `money` FROM `shop`") * 3 + packet(b"\x03SELECT `varname` FROM `mapreg`"))

    assert session.news == ["select shop"]


@pytest.mark.parametrize(
    "statement",
    [
        b"DELETE FROM `barter` WHERE `name` = 'dealer' AND `index` = '0'",
        b"SELECT `amount` FROM `barter` WHERE `name` = 'dealer' AND `index` = '0'",
        b"REPLACE INTO `barter` (`name`,`index`,`amount`) VALUES ( 'dealer', '0', '5' )",
        b"UPDATE `mapreg` SET `value`='1' WHERE `varname`='$rounds' AND `index`='0' LIMIT 1",
        b"UPDATE `vendings` SET `map` = 'pay_fild03', `x` = '1' WHERE `id` = 3",
    ],
)
def test_what_a_map_server_asks_for_itself_is_no_news(session: Session, statement: bytes) -> None:
    session.received(packet(b"\x03" + statement))

    assert session.news == []


def test_a_packet_beyond_the_limit_ends_the_connection_before_it_is_kept(session: Session) -> None:
    answer = bodies(session.received((wire.PACKET_BYTES_MAX + 1).to_bytes(3, "little") + b"\0" + b"x" * 100))

    assert session.ended
    assert answer[0][:1] == b"\xff"
    assert session.received(packet(b"\x0e")) == b""


def test_who_asks_without_reading_is_cut_off(session: Session) -> None:
    number = bodies(session.received(packet(b"\x16SELECT " + b"a," * 500 + b"a FROM t")))[0][1:5]

    answers = session.received(packet(b"\x17" + number + bytes(9)) * 4_000)

    assert session.ended
    assert len(answers) < 2 * ANSWER_BYTES_MAX


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_packets_come_out_as_they_went_in_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = wire.packets(0, sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, found = wire.Packets(), []

    for start, end in pairwise([0, *cuts, len(stream)]):
        found += reader.feed(stream[start:end])

    assert found == [(number % 256, body) for number, body in enumerate(sent)]


STATEMENTS = st.one_of(
    st.sampled_from([statement for statement, _, _ in BOOT]),
    st.text("SELECT FROM,()?'\"`*;\\ \n#-/abc", max_size=80).map(lambda text: text.encode()),
    st.binary(max_size=80),
)
COMMANDS = st.one_of(
    st.builds(lambda head, text: bytes([head]) + text, st.sampled_from([0x03, 0x16]), STATEMENTS),
    st.builds(lambda head, rest: bytes([head]) + rest, st.integers(0, 255), st.binary(max_size=16)),
    st.just(b""),
)


@given(st.lists(COMMANDS, max_size=20))
def test_any_command_is_answered_in_whole_packets(commands: list[bytes]) -> None:
    session = fresh()
    session.received(packet(hello(proof()), 1))

    for command in commands:
        answer = session.received(packet(command))
        assert wire.packets(1, bodies(answer)) == answer
        if command[:1] not in (b"\x01", b"\x18", b"\x19") and not session.ended:
            assert answer


@given(st.lists(COMMANDS, min_size=1, max_size=8), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
def test_a_damaged_stream_gets_answers_or_the_end_and_never_a_fall(
    commands: list[bytes], damage: list[tuple[int, int]]
) -> None:
    session = fresh()
    stream = bytearray(packet(hello(proof()), 1) + b"".join(map(packet, commands)))
    for at, value in damage:
        stream[at % len(stream)] = value

    answers = session.begin() + session.received(bytes(stream))

    assert sum(len(body) + 4 for body in bodies(answers)) == len(answers) < 1 << 20
    assert session.received(packet(b"\x0e")) == b"" or not session.ended


@given(st.binary(max_size=2_000))
def test_any_bytes_are_divided_into_words_once(statement: bytes) -> None:
    try:
        found = read(statement)
    except TooManyParts:
        return
    assert found.parameters <= statement.count(b"?")
    assert len(found.columns) <= max(2, statement.count(b",") + 1, 5)
    assert found.shape.isprintable() or found.shape
