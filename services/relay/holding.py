"""For how long a player has been without a server, and how much longer his client is kept. Pure."""


class Holding:
    __slots__ = ("_since_ms", "_timeout_ms", "_until_ms")

    def __init__(self, timeout_ms: float) -> None:
        self._timeout_ms = timeout_ms
        self._since_ms: float | None = None
        self._until_ms = 0.0

    def arrived(self, now_ms: float) -> None:
        """A new client waits as long, but nothing was taken from it."""
        self._until_ms = now_ms + self._timeout_ms

    def began(self, now_ms: float) -> None:
        """Its server is gone. Until the client has loaded its next map it is one hold, however many servers are tried."""
        self._until_ms = now_ms + self._timeout_ms
        if self._since_ms is None:
            self._since_ms = now_ms

    def ended(self, now_ms: float) -> float:
        """How long it was, ms; 0: it was none."""
        since_ms, self._since_ms = self._since_ms, None
        return 0.0 if since_ms is None else now_ms - since_ms

    def over(self, now_ms: float) -> bool:
        return now_ms > self._until_ms
