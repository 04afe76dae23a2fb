"""Two ends of a host's link without sockets, and what is on its way between them. For tests."""

from libs.link.session import Event, Place, Said, Session

FIELD = Place(map="moc_fild01", address="192.0.2.1", port=6121)
AGENT, BRIDGE = 0, 1


class Line:
    """Two ends and what is on its way between them. said, heard: by (end, channel)."""

    def __init__(self) -> None:
        self.ends = (Session(opens=True), Session(opens=False))
        self.wires = [b"", b""]
        self.heard: dict[tuple[int, int], bytes] = {}
        self.said: dict[tuple[int, int], bytes] = {}
        self.events: tuple[list[Event], list[Event]] = ([], [])
        self.lazy: set[int] = set()
        self.whole = True

    def open(self) -> int:
        return self.ends[AGENT].open(FIELD)

    def say(self, end: int, channel: int, data: bytes) -> None:
        self.ends[end].say(channel, data)
        self.said[end, channel] = self.said.get((end, channel), b"") + data

    def write(self, end: int, most: int = 1 << 30) -> None:
        if self.whole:
            self.wires[end] += self.ends[end].take(most)

    def carry(self, end: int, count: int | None = None) -> None:
        """Bytes that `end` wrote reach the other."""
        data = self.wires[end][:count]
        self.wires[end] = self.wires[end][len(data) :]
        other = 1 - end
        for event in self.ends[other].feed(data):
            self.events[other].append(event)
            if isinstance(event, Said):
                self.heard[end, event.channel] = self.heard.get((end, event.channel), b"") + event.data
                if event.channel not in self.lazy:
                    self.ends[other].took(event.channel, len(event.data))

    def cut(self) -> None:
        """What is on its way is lost."""
        self.wires, self.whole = [b"", b""], False

    def mend(self) -> None:
        if not self.whole:
            for end in self.ends:
                end.broke()
            counts = [end.received for end in self.ends]
            for end, count in zip(self.ends, reversed(counts), strict=True):
                end.resume(count)
            self.whole = True

    def settle(self) -> None:
        """Everything that may arrive arrives."""
        self.mend()
        for _ in range(10_000):
            for end in (AGENT, BRIDGE):
                self.write(end)
            if not any(self.wires):
                return
            for end in (AGENT, BRIDGE):
                self.carry(end)
        raise AssertionError("it does not come to rest")
