"""Unix milliseconds that never run backwards."""

import time


class Clock:
    """Wall time at the start, carried on by the monotonic clock: an NTP step of the machine does not disturb a decision."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now_ms(self) -> int:
        return int((time.monotonic() + self._offset_s) * 1000)
