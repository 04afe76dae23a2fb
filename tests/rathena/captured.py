"""The recorded traffic (tests/rathena/captures) as streams and packets."""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from libs.rathena.framing import CHAR_TO_MAP, CLIENT_TO_MAP, MAP_TO_CHAR, MAP_TO_CLIENT, Splitter, Table

FOLDER = Path(__file__).parent / "captures"
TABLES: dict[str, Table] = {
    "map>gw": MAP_TO_CHAR,
    "gw>char": MAP_TO_CHAR,
    "char>gw": CHAR_TO_MAP,
    "gw>map": CHAR_TO_MAP,
    "client>relay": CLIENT_TO_MAP,
    "relay>map": CLIENT_TO_MAP,
    "map>relay": MAP_TO_CLIENT,
    "relay>client": MAP_TO_CLIENT,
}


class Captured(NamedTuple):
    """One packet. t_ms: when the chunk came that completed it."""

    t_ms: float
    scenario: str
    leg: str
    dir: str
    packet_id: int
    packet: bytes

    @property
    def table(self) -> Table:
        return TABLES[self.dir]


@dataclass
class Stream:
    """One direction of one connection. chunks: (t_ms, bytes) as they were read."""

    scenario: str
    leg: str
    dir: str
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def table(self) -> Table:
        return TABLES[self.dir]

    @property
    def data(self) -> bytes:
        return b"".join(chunk for _, chunk in self.chunks)

    def packets(self) -> Iterator[Captured]:
        splitter = Splitter(self.table)
        for t_ms, chunk in self.chunks:
            for packet in splitter.feed(chunk):
                yield Captured(t_ms, self.scenario, self.leg, self.dir, int.from_bytes(packet[:2], "little"), packet)


def scenarios() -> list[str]:
    return sorted(path.name.removesuffix(".jsonl.gz") for path in FOLDER.glob("*.jsonl.gz"))


@cache
def streams(scenario: str) -> list[Stream]:
    """Every direction of every connection; a leg that opens again begins new ones."""
    found: list[Stream] = []
    current: dict[tuple[str, str], Stream] = {}
    with gzip.open(FOLDER / f"{scenario}.jsonl.gz", "rt") as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("ev") == "open":
                current = {place: stream for place, stream in current.items() if place[0] != record["leg"]}
            if "b64" not in record:
                continue
            place = record["leg"], record["dir"]
            if place not in current:
                current[place] = Stream(scenario, *place)
                found.append(current[place])
            current[place].chunks.append((record["t_ms"], base64.b64decode(record["b64"])))
    return found


@cache
def packets(scenario: str) -> list[Captured]:
    """Every packet of a scenario, in order of time."""
    return sorted((packet for stream in streams(scenario) for packet in stream.packets()), key=lambda packet: packet.t_ms)


def every(packet_id: int, *dirs: str) -> list[Captured]:
    """All captured packets with this id in these directions, over all scenarios."""
    return [p for name in scenarios() for p in packets(name) if p.packet_id == packet_id and p.dir in dirs]
