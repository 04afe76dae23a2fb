"""host.speed as the validator answers it: bounded for each host, a few hosts at a time, and what it says of itself."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.config import Settings
from libs.events import HostId, HostSpeed, HostSpeedReply, NodeName, SpeedStep
from libs.events.speed import PIECE_BYTES_MAX
from services.validator.core import Validator
from services.validator.speed import AT_ONCE_MAX, BYTES_MAX, FILLER, PACKETS_MAX, REST_MS, SESSION_MS, Speeds

SETTINGS = Settings(regions={"eu": "198.51.100.2:5121"})
T0 = 1_000_000


def ask(step: SpeedStep, host: str = "h1", size: int = 0, payload: bytes = b"") -> HostSpeed:
    return HostSpeed(host=HostId(host), at_ms=1, step=step, size=size, payload=payload)


START = ask(SpeedStep.START)


def test_a_start_is_granted_and_told_what_is_required_and_where_the_relays_are():
    reply = Speeds(SETTINGS).answer(START, T0)

    assert reply.ok
    assert reply.requirements["cpu_min_ghz"] == SETTINGS.host_requirements.cpu_min_ghz
    assert reply.requirements["net_min_speed"] == SETTINGS.host_requirements.net_min_speed
    assert reply.regions == {"eu": "198.51.100.2:5121"}


def test_a_piece_is_answered_with_the_bytes_it_asked_for():
    speeds = Speeds(SETTINGS)
    speeds.answer(START, T0)

    down = speeds.answer(ask(SpeedStep.DOWN, size=PIECE_BYTES_MAX), T0 + 1)
    up = speeds.answer(ask(SpeedStep.UP, payload=FILLER), T0 + 2)

    assert (down.ok, len(down.payload)) == (True, PIECE_BYTES_MAX)
    assert (up.ok, up.payload, up.requirements) == (True, b"", {})


def test_a_transfer_ends_at_its_bytes():
    speeds = Speeds(SETTINGS)
    speeds.answer(START, T0)

    replies = [speeds.answer(ask(SpeedStep.DOWN, size=PIECE_BYTES_MAX), T0 + 1) for _ in range(100)]

    assert sum(len(reply.payload) for reply in replies) <= BYTES_MAX
    assert sum(reply.ok for reply in replies) == BYTES_MAX // PIECE_BYTES_MAX
    assert replies[-1] == HostSpeedReply(ok=False, retry_ms=REST_MS - 1)


def test_a_transfer_ends_at_its_packets_and_at_its_time():
    speeds = Speeds(SETTINGS)
    speeds.answer(START, T0)

    packets = [speeds.answer(ask(SpeedStep.PACKET, size=64, payload=bytes(64)), T0).ok for _ in range(PACKETS_MAX + 1)]
    late = speeds.answer(ask(SpeedStep.DOWN, size=1), T0 + SESSION_MS + 1)

    assert packets == [True] * PACKETS_MAX + [False]
    assert not late.ok


def test_a_host_rests_between_two_transfers():
    speeds = Speeds(SETTINGS)
    speeds.answer(START, T0)

    again = speeds.answer(START, T0 + 500)
    rested = speeds.answer(START, T0 + 500 + again.retry_ms)

    assert (again.ok, again.retry_ms) == (False, REST_MS - 500)
    assert again.requirements, "also who has to wait is told what is required"
    assert rested.ok


def test_only_a_few_transfer_at_once():
    speeds = Speeds(SETTINGS)

    granted = [speeds.answer(ask(SpeedStep.START, host=f"h{number}"), T0).ok for number in range(AT_ONCE_MAX + 1)]
    later = speeds.answer(ask(SpeedStep.START, host=f"h{AT_ONCE_MAX}"), T0 + SESSION_MS + 1)

    assert granted == [True] * AT_ONCE_MAX + [False]
    assert later.ok


def test_a_piece_that_comes_to_another_replica_counts_there():
    other = Speeds(SETTINGS)

    first = other.answer(ask(SpeedStep.UP, payload=FILLER), T0)
    start = other.answer(START, T0 + 1)

    assert first.ok
    assert not start.ok, "its transfer here has begun"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from(["a", "b", "c", "d", "e", "f"]),
            st.sampled_from(list(SpeedStep)),
            st.integers(0, PIECE_BYTES_MAX),
        ),
        max_size=300,
    )
)
@settings(derandomize=True, deadline=None, database=None)
def test_whatever_hosts_ask_none_moves_more_than_its_share(asked: list[tuple[int, str, SpeedStep, int]]):
    speeds, now_ms = Speeds(SETTINGS), T0
    moved: dict[str, list[tuple[int, int]]] = {}

    for after_ms, host, step, size in asked:
        now_ms += after_ms
        if (reply := speeds.answer(ask(step, host, size), now_ms)).ok:
            moved.setdefault(host, []).append((now_ms, len(reply.payload)))

    for pieces in moved.values():
        for at_ms, _ in pieces:
            assert sum(size for when, size in pieces if at_ms <= when < at_ms + REST_MS - SESSION_MS) <= BYTES_MAX
        for (one_ms, _), (next_ms, _) in pairwise(pieces):
            assert next_ms - one_ms <= SESSION_MS or next_ms - one_ms >= REST_MS - SESSION_MS


def test_the_validator_answers_it():
    validator = Validator(SETTINGS, name=NodeName("validator-1"), nonce=lambda: "00" * 16)

    reply = validator.on_asked(START, T0)

    assert isinstance(reply, HostSpeedReply)
    assert reply.ok
