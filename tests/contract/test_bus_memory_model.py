"""MemoryLog against a model so naive that it is plainly right: a list of everything ever written."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from libs.bus.memory_log import MemoryLog, matches
from libs.events import HostDown, HostId, MapCensus, MapName, OpsDrain, Region, Stream
from libs.hosting.effects import Append, Committed, Outcome, Refused

LIMIT = 4
HOSTS = ("h1", "h2")


@dataclass(frozen=True)
class Step:
    """kind and host: the event. expected: offset to what is right, None for no expectation. again: repeat an earlier id."""

    kind: str
    host: str
    offset: int | None
    scoped: bool
    again: bool


steps = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(["down", "drain", "census"]),
        host=st.sampled_from(HOSTS),
        offset=st.sampled_from([None, 0, 0, 0, 1, -1]),
        scoped=st.booleans(),
        again=st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


def event_of(step: Step):
    if step.kind == "down":
        return HostDown(host=HostId(step.host), at_ms=1, reason="lost", detail="", disconnects_ms=[])
    if step.kind == "drain":
        return OpsDrain(host=HostId(step.host), at_ms=1, draining=True, by="x")
    return MapCensus(map=MapName(step.host), at_ms=1, players={Region("eu"): 1})


def subject_of_step(step: Step) -> str:
    return {"down": "host.down", "drain": "ops.drain", "census": "map.census"}[step.kind] + f".{step.host}"


@given(steps)
def test_memory_log_does_what_a_list_would(script: list[Step]) -> None:
    log = MemoryLog({Stream.HOSTS: LIMIT, Stream.MAPS: LIMIT})
    written: dict[Stream, list[tuple[int, str, str]]] = {Stream.HOSTS: [], Stream.MAPS: []}
    earlier: tuple[Step, Append, str, Outcome] | None = None

    for number, step in enumerate(script):
        stream = Stream.MAPS if step.kind == "census" else Stream.HOSTS
        if step.again and earlier is not None:
            _, write, msg_id, outcome = earlier
            if isinstance(outcome, Committed):
                assert log.append(write, msg_id=msg_id, now_ms=number) == outcome, "the same attempt again changes nothing"
            continue
        scope = f"*.*.{step.host}" if step.scoped else None
        last = max((seq for seq, subject, _ in written[stream] if matches(scope or subject_of_step(step), subject)), default=0)
        expected = None if step.offset is None else max(0, last + step.offset)
        write = Append(event_of(step), expected, scope)
        outcome = log.append(write, msg_id=f"id{number}", now_ms=number)

        if expected in (None, last):
            seq = len(written[stream]) + 1
            assert outcome == Committed(seq)
            written[stream].append((seq, subject_of_step(step), f"id{number}"))
        else:
            assert outcome == Refused(last)
        earlier = (step, write, f"id{number}", outcome)

    for stream, everything in written.items():
        check(log, stream, everything)


def check(log: MemoryLog, stream: Stream, everything: list[tuple[int, str, str]]) -> None:
    by_subject: dict[str, list[int]] = {}
    for seq, subject, _ in everything:
        by_subject.setdefault(subject, []).append(seq)
    kept = sorted(seq for seqs in by_subject.values() for seq in seqs[-LIMIT:])
    assert [each.seq for each in log.read(stream)] == kept
    assert [each.seq for each in log.read(stream, 3, 7)] == [seq for seq in kept if 3 <= seq <= 7]
    assert [each.seq for each in log.last_per_subject(stream)] == sorted(seqs[-1] for seqs in by_subject.values())
    assert log.last_seq(stream) == len(everything)
    truncated = [seqs[-LIMIT] for seqs in by_subject.values() if len(seqs) > LIMIT]
    assert log.horizon(stream) == max(truncated, default=0)


@given(st.integers(1, 20), st.integers(0, 15 * 60 * 1000 - 1))
def test_age_ends_what_is_old_and_moves_the_horizon(count: int, later_ms: int) -> None:
    log = MemoryLog()
    week_ms = 7 * 24 * 3600 * 1000
    for number in range(count):
        log.append(Append(event_of(Step("census", "h1", None, False, False)), None), msg_id=f"a{number}", now_ms=number)

    log.append(Append(event_of(Step("census", "h2", None, False, False)), None), msg_id="b", now_ms=week_ms + count + later_ms)

    assert [each.seq for each in log.read(Stream.MAPS)] == [count + 1]
    assert log.horizon(Stream.MAPS) == count + 1


def test_an_id_is_remembered_for_the_duplicate_window_and_an_expectation_for_ever() -> None:
    log = MemoryLog()
    plain = Append(event_of(Step("census", "h1", None, False, False)), None)
    guarded = Append(event_of(Step("drain", "h1", None, False, False)), 0)
    for write, msg_id in ((plain, "p"), (guarded, "g")):
        assert log.append(write, msg_id=msg_id, now_ms=0) == Committed(1)

    assert log.append(plain, msg_id="p", now_ms=119_999) == Committed(1)
    assert log.append(plain, msg_id="p", now_ms=120_000) == Committed(2)
    assert log.append(guarded, msg_id="g", now_ms=10**9) == Committed(1)
    log.append(Append(guarded.event, 1), msg_id="h", now_ms=10**9)
    assert log.append(guarded, msg_id="g", now_ms=2 * 10**9) == Committed(1), "even with a successor"
