"""What a stream holds, asked of its leader: one message, its state, its horizon. Called by the publisher, the follower, the
lease and the bus itself."""

from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.bus.connection import ApiError, Connection
from libs.bus.streams import SPECS
from libs.events import Stream

API_TIMEOUT_S = 5.0
NO_MESSAGE = 10037
NO_STREAM = 10059
SUBJECTS_PER_PAGE = 100_000
"""The server's own page size."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    subject: str
    seq: int
    headers: bytes
    body: bytes
    stored_ms: int


async def get_message(
    connection: Connection, stream: str, query: dict[str, object], timeout_s: float = API_TIMEOUT_S
) -> StoredMessage | None:
    """query: {last_by_subj: filter}, or {seq, next_by_subj: filter}; the filter may have wildcards. None: no such message.

    Raises:
        BusUnavailable: no answer, or no such stream.
    """
    try:
        answer = await connection.api(f"STREAM.MSG.GET.{stream}", query, timeout_s=timeout_s)
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    message = answer["message"]
    stored = datetime.fromisoformat(message["time"])
    return StoredMessage(
        subject=message["subject"],
        seq=message["seq"],
        headers=b64decode(message.get("hdrs") or b""),
        body=b64decode(message.get("data") or b""),
        stored_ms=int(stored.timestamp() * 1000),
    )


async def stream_info(connection: Connection, stream: str, body: object = None) -> dict[str, Any]:
    """
    Raises:
        BusUnavailable: no answer, or no such stream.
    """
    return await connection.api(f"STREAM.INFO.{stream}", body, timeout_s=API_TIMEOUT_S)


async def horizon(connection: Connection, stream: Stream) -> int:
    """See `Bus.horizon`. A subject at its limit counts as truncated, and begins where its first kept message is; of a stream
    with an age limit, whatever came before its first message is gone too."""
    spec = SPECS[stream]
    info = await stream_info(connection, stream)
    state = info["state"]
    if state["first_seq"] <= 1 and not state.get("num_deleted"):
        return 0
    oldest = state["first_seq"] if spec.age_max_s or spec.bytes_max > 0 else 0
    limit = info["config"]["max_msgs_per_subject"]
    for subject in await _subjects_at_limit(connection, stream, limit) if limit > 0 else ():
        first = await get_message(connection, stream, {"seq": 1, "next_by_subj": subject})
        oldest = max(oldest, first.seq if first else 0)
    return int(oldest)


async def _subjects_at_limit(connection: Connection, stream: Stream, limit: int) -> list[str]:
    found: list[str] = []
    offset = 0
    while True:
        page = await stream_info(connection, stream, {"subjects_filter": ">", "offset": offset})
        subjects: dict[str, int] = page["state"].get("subjects") or {}
        found += [subject for subject, count in subjects.items() if count >= limit]
        offset += len(subjects)
        if len(subjects) < SUBJECTS_PER_PAGE:
            return found
