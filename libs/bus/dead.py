"""Dead letters: what could not be read is kept, a few a second for each publisher, so that junk cannot fill the stream."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from libs.events import DeadLetter, NodeName
from libs.events.operations import DEAD_HEAD_BYTES

BURY_BURST = 10
"""Dead letters of one publisher kept at once: enough to see what is wrong with it."""
BURY_PER_S = 1.0
BURIED_PUBLISHERS_MAX = 1_024
"""Publishers remembered; the one quiet for longest is forgotten first."""
BURY_ALL_BURST = 200
"""Of all publishers together, in case names are invented."""
BURY_ALL_PER_S = 20.0
TEXT_MAX = 1_000


class TokenBucket:
    """burst: tokens at the start and at most. per_s: refill."""

    __slots__ = ("_at_s", "_burst", "_per_s", "_tokens")

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._tokens, self._at_s = burst, now_s

    def take(self, now_s: float) -> bool:
        """True if one may pass now."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Undertaker:
    """Decides which dead letters are kept. clock_s: monotonic seconds. unix_ms: stamps."""

    def __init__(self, by: str, clock_s: Callable[[], float], unix_ms: Callable[[], int]) -> None:
        self._by, self._clock_s, self._unix_ms = by, clock_s, unix_ms
        self._all = TokenBucket(BURY_ALL_BURST, BURY_ALL_PER_S, clock_s())
        self._publishers: OrderedDict[str, TokenBucket] = OrderedDict()
        self.refused = 0
        """Dead letters not kept because their publisher had too many."""

    def letter(self, subject: str, body: bytes, reason: str) -> DeadLetter | None:
        """The letter to publish, or None where its publisher (the subject's last token) already had its share."""
        now_s = self._clock_s()
        if not (self._bucket(subject.rpartition(".")[2], now_s).take(now_s) and self._all.take(now_s)):
            self.refused += 1
            return None
        return DeadLetter(
            by=NodeName(self._by),
            at_ms=self._unix_ms(),
            subject=subject[:TEXT_MAX],
            reason=reason[:TEXT_MAX],
            hash=hashlib.sha256(body).hexdigest(),
            head=body[:DEAD_HEAD_BYTES],
            size=len(body),
        )

    def _bucket(self, publisher: str, now_s: float) -> TokenBucket:
        bucket = self._publishers.pop(publisher, None) or TokenBucket(BURY_BURST, BURY_PER_S, now_s)
        self._publishers[publisher] = bucket
        if len(self._publishers) > BURIED_PUBLISHERS_MAX:
            self._publishers.popitem(last=False)
        return bucket
