"""Who asked, for answers of the char-server that name no player. In: the question. Out: the links its answer goes to."""

from collections import deque
from typing import Final

_CASTLES, _CLANS, _NAME, _DESK = 0x3840, 0x38A0, 0x2B09, 0x3807
_SAME_DESK: Final = {0x3808: _DESK}
OPEN_MAX: Final = 4_096
"""Questions that wait; the char-server leaves some unanswered, so the oldest are given up."""

Question = tuple[int, ...]


class Asked:
    """The char-server answers a link's packets in their order (FACTS 1), so equal questions are answered first come, first
    served."""

    def __init__(self) -> None:
        self._waiting: dict[Question, deque[int]] = {}
        self._open = 0

    def note(self, link: int, packet: bytes) -> None:
        """A packet that goes up. What is no such question is no matter."""
        question = _asks(packet)
        if question is None:
            return
        while self._open >= OPEN_MAX:
            self._drop_oldest()
        # The newest question last, so that the oldest goes first.
        links = self._waiting.pop(question, None) or deque()
        if question[0] == _DESK:
            self._open -= len(links)
            links.clear()
        links.append(link)
        self._waiting[question] = links
        self._open += 1

    def who(self, packet: bytes) -> list[int]:
        """packet: an answer. A name goes to all who wait for it; a GM's account question has several answers and stays open."""
        question = _answers(packet)
        links = self._waiting.get(question) if question else None
        if question is None or not links:
            return []
        if question[0] == _DESK:
            return list(links)
        found = list(links) if question[0] == _NAME else [links[0]]
        for _ in found:
            links.popleft()
        self._open -= len(found)
        if not links:
            del self._waiting[question]
        return found

    def clear(self) -> None:
        """The char-server is another: nothing will be answered."""
        self._waiting.clear()
        self._open = 0

    def _drop_oldest(self) -> None:
        question = next(iter(self._waiting))
        links = self._waiting[question]
        links.popleft()
        self._open -= 1
        if not links:
            del self._waiting[question]


def _asks(packet: bytes) -> Question | None:
    match _number(packet, 0, 2):
        case 0x3040:
            return (_CASTLES,)
        case 0x30A0:
            return (_CLANS,)
        case 0x2B08:
            return (_NAME, _number(packet, 2))
        case 0x3007:
            return (_DESK, _number(packet, 2), _number(packet, 6))
    return None


def _answers(packet: bytes) -> Question | None:
    packet_id = _number(packet, 0, 2)
    match packet_id:
        case 0x3840 | 0x38A0:
            return (packet_id,)
        case 0x2B09:
            return (_NAME, _number(packet, 2))
        case 0x3807:
            return (_DESK, _number(packet, 4), _number(packet, 8))
        case 0x3808:
            return (_SAME_DESK[packet_id], _number(packet, 2), _number(packet, 6))
    return None


def _number(packet: bytes, at: int, size: int = 4) -> int:
    return int.from_bytes(packet[at : at + size], "little")
