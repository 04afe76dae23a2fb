"""The log as a plain data structure: what JetStream does for us, without a server, a clock or an event loop.

In: writes and the time. Out: outcomes, facts. Called by libs.bus.memory (tests of services) and tests/sim (virtual clock).
Times are arguments, Unix ms, and must not run backwards. The contract suite holds it to the real server's behaviour.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from libs.bus.facts import fact_from
from libs.bus.streams import DUPLICATE_WINDOW_S, SPECS, StreamSpec
from libs.bus.words import body_of, header_lines, subject_for
from libs.events import Event, Fact, MalformedEvent, Stream, subject_of
from libs.hosting.effects import Append, Committed, Outcome, Refused


@dataclass(frozen=True, slots=True)
class Kept:
    """One stored message. fact: decoded once for all readers; malformed: why it could not be."""

    subject: str
    body: bytes
    msg_id: str | None
    fact: Fact
    malformed: MalformedEvent | None

    @property
    def seq(self) -> int:
        return self.fact.seq


class _Stream:
    def __init__(self, stream: Stream, spec: StreamSpec) -> None:
        self.stream, self.spec = stream, spec
        self.messages: OrderedDict[int, Kept] = OrderedDict()
        self.subjects: dict[str, deque[int]] = {}
        self.by_token: dict[str, set[str]] = {}
        self.last_seq = 0
        self.size = 0
        self.truncated = 0
        """Oldest sequence at which no subject had been truncated."""
        self.ids: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def matching(self, pattern: str) -> Iterator[str]:
        """Subjects of this stream under a filter; quick where its last token is literal."""
        if "*" not in pattern and ">" not in pattern:
            return iter((pattern,) if pattern in self.subjects else ())
        token = pattern.rpartition(".")[2]
        candidates = self.subjects if token in "*>" else self.by_token.get(token, ())
        return (subject for subject in candidates if matches(pattern, subject))

    def last_of(self, pattern: str) -> int:
        return max((self.subjects[subject][-1] for subject in self.matching(pattern)), default=0)

    def next_of(self, pattern: str, after: int) -> Kept | None:
        """The first message under a filter behind sequence `after`."""
        following = (seq for subject in self.matching(pattern) for seq in self.subjects[subject] if seq > after)
        return self.messages[found] if (found := min(following, default=0)) else None

    def add(self, kept: Kept) -> None:
        self.last_seq = kept.seq
        self.messages[kept.seq] = kept
        self.subjects.setdefault(kept.subject, deque()).append(kept.seq)
        self.by_token.setdefault(kept.subject.rpartition(".")[2], set()).add(kept.subject)
        self.size += len(kept.body) + len(kept.subject)
        if len(self.subjects[kept.subject]) > self.spec.per_subject_max > 0:
            self.drop(self.messages[self.subjects[kept.subject][0]])
            self.truncated = max(self.truncated, self.subjects[kept.subject][0])

    def drop(self, kept: Kept) -> None:
        del self.messages[kept.seq]
        seqs = self.subjects[kept.subject]
        seqs.remove(kept.seq)
        self.size -= len(kept.body) + len(kept.subject)
        if not seqs:
            del self.subjects[kept.subject]
            self.by_token[kept.subject.rpartition(".")[2]].discard(kept.subject)

    def expire(self, now_ms: int) -> None:
        """By age, then by size: oldest first."""
        age_ms = self.spec.age_max_s * 1000
        while self.messages:
            oldest = self.messages[next(iter(self.messages))]
            too_old = 0 < age_ms <= now_ms - oldest.fact.stored_ms
            too_large = 0 < self.spec.bytes_max < self.size
            if not (too_old or too_large):
                break
            self.drop(oldest)
            self.truncated = max(self.truncated, next(iter(self.messages), self.last_seq + 1))
        window_ms = DUPLICATE_WINDOW_S * 1000
        while self.ids and now_ms - next(iter(self.ids.values()))[1] >= window_ms:
            del self.ids[next(iter(self.ids))]


class MemoryLog:
    """per_subject_max: other limits than streams.py for some streams, so that a test truncates soon."""

    def __init__(self, per_subject_max: Mapping[Stream, int] | None = None) -> None:
        limits = per_subject_max or {}
        self._streams = {
            stream: _Stream(stream, replace(spec, per_subject_max=limits.get(stream, spec.per_subject_max)))
            for stream, spec in SPECS.items()
        }

    def append(self, write: Append, *, msg_id: str, now_ms: int) -> Outcome:
        """Committed or Refused; the same msg_id again is Committed where it was.

        Raises:
            ValueError: no valid name, or too large.
        """
        stream = write.event.declaration.stream
        assert stream is not None, f"{write.event.declaration.name} is kept in no stream"
        return self.publish(
            subject_of(write.event),
            body_of(write.event),
            now_ms=now_ms,
            headers=b"NATS/1.0\r\n" + header_lines(write.event, write.trace),
            msg_id=msg_id,
            expected=write.expected,
            scope=write.scope,
        )

    def publish(
        self,
        subject: str,
        body: bytes,
        *,
        now_ms: int,
        headers: bytes = b"",
        msg_id: str | None = None,
        expected: int | None = None,
        scope: str | None = None,
    ) -> Outcome:
        """Any bytes on a subject a stream keeps (`keeps` says which)."""
        stream = self.keeps(subject)
        assert stream is not None, f"no stream keeps {subject}"
        kept_in = self._streams[stream]
        kept_in.expire(now_ms)
        scope = scope or subject
        if msg_id is not None and msg_id in kept_in.ids:
            return Committed(kept_in.ids[msg_id][0])
        if expected is not None and (last := kept_in.last_of(scope)) != expected:
            following = kept_in.next_of(scope, expected)
            if msg_id is not None and following is not None and following.msg_id == msg_id:
                return Committed(following.seq)
            return Refused(last)
        seq = kept_in.last_seq + 1
        fact, malformed = fact_from(stream, seq, now_ms, subject=subject.encode(), headers=headers, body=body)
        kept_in.add(Kept(subject, body, msg_id, fact, malformed))
        if msg_id is not None:
            kept_in.ids[msg_id] = (seq, now_ms)
        return Committed(seq)

    def keeps(self, subject: str) -> Stream | None:
        for stream, kept_in in self._streams.items():
            if any(matches(pattern, subject) for pattern in kept_in.spec.subjects):
                return stream
        return None

    def last_seq(self, stream: Stream) -> int:
        return self._streams[stream].last_seq

    def last(self, event_type: type[Event], token: str) -> Fact | None:
        """The last message of one subject."""
        stream = event_type.declaration.stream
        assert stream is not None, f"{event_type.declaration.name} is kept in no stream"
        kept_in = self._streams[stream]
        seqs = kept_in.subjects.get(subject_for(event_type, token))
        return kept_in.messages[seqs[-1]].fact if seqs else None

    def last_per_subject(self, stream: Stream) -> list[Kept]:
        """In order of the stream."""
        kept_in = self._streams[stream]
        return [kept_in.messages[seq] for seq in sorted(seqs[-1] for seqs in kept_in.subjects.values())]

    def read(self, stream: Stream, first: int = 1, last: int | None = None) -> Iterator[Kept]:
        """From `first` to `last` (None: the present end); writes meanwhile are safe."""
        kept_in = self._streams[stream]
        end = kept_in.last_seq if last is None else min(last, kept_in.last_seq)
        oldest = next(iter(kept_in.messages), end + 1)
        for seq in range(max(first, oldest), end + 1):
            if (kept := kept_in.messages.get(seq)) is not None:
                yield kept

    def horizon(self, stream: Stream) -> int:
        """See `Bus.horizon`."""
        return self._streams[stream].truncated


def matches(pattern: str, subject: str) -> bool:
    """NATS's wildcards: `*` one token, `>` the rest."""
    wanted, said = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, said = wanted[:-1], said[: len(wanted) - 1] if len(said) >= len(wanted) else []
    return len(wanted) == len(said) and all(each in ("*", token) for each, token in zip(wanted, said, strict=True))
