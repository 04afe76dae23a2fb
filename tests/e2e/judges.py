"""The log of a run before its judges: every decision decided again, every invariant audited, every message written once."""

import asyncio
from collections import Counter

import nats
from harness import System
from nats.js.api import DeliverPolicy

from libs.events import MapAssign, Stream
from services.ops.audit import Audit, Rules
from services.ops.reading import WORLD_STREAMS, read_log
from services.ops.replay import Log, Report, verify

NEXT_TIMEOUT_S = 5.0


async def judged(system: System, *, strangers: bool = False) -> tuple[Log, Report]:
    """The whole log, after it was found to be without fault. strangers: some wrote what cannot be read, and without an id."""
    log = await read_log(system.bus)
    decisions = [fact.event for fact in log.assignments if isinstance(fact.event, MapAssign)]
    assert strangers or len(decisions) == len(log.assignments)
    _assert_each_once(decisions)
    _assert_audited(system, log)
    for stream in WORLD_STREAMS:
        ids = await _message_ids(system.url, stream)
        without = ids.pop("", 0)
        assert strangers or not without, f"{stream}: {without} messages without an id"
        assert max(ids.values(), default=1) == 1, f"{stream}: stored twice: {ids.most_common(1)}"
    report = await asyncio.to_thread(verify, log)
    assert not report.differences, f"decided otherwise today: {report.differences[0]}"
    assert not report.skipped, f"not decided again: {report.skipped}"
    assert report.decisions == len(decisions)
    return log, report


def _assert_each_once(decisions: list[MapAssign]) -> None:
    times = Counter((decision.decider, decision.look, decision.map) for decision in decisions)
    assert max(times.values(), default=1) == 1, f"decided twice: {times.most_common(1)}"


def _assert_audited(system: System, log: Log) -> None:
    audit = Audit(Rules.of(system.settings))
    for facts in (log.hosts, log.maps, log.assignments):
        audit.feed_all(facts)
    findings = audit.findings()
    assert not findings, "\n".join(map(str, findings[:10]))
    assert audit.unjudged == 0


async def _message_ids(url: str, stream: Stream) -> Counter[str]:
    """Nats-Msg-Id -> how often the server has stored it; "" for none."""
    client = await nats.connect(url)
    ids: Counter[str] = Counter()
    try:
        jetstream = client.jetstream()
        count = (await jetstream.stream_info(stream)).state.messages
        reading = await jetstream.subscribe(">", stream=stream, ordered_consumer=True, deliver_policy=DeliverPolicy.ALL)
        for _ in range(count):
            message = await reading.next_msg(NEXT_TIMEOUT_S)
            ids[(message.headers or {}).get("Nats-Msg-Id", "")] += 1
        await reading.unsubscribe()
    finally:
        await client.close()
    return ids
