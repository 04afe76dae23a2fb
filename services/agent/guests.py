"""Players on this machine, as their own connections tell: how many, how they come, what they say and hear. A value."""

from typing import Literal

import msgspec

Way = Literal["dialled", "open port", "none"]


class Guests(msgspec.Struct, frozen=True, kw_only=True):
    """here: now; most: the most there may be (`players_max`). way: how the next one comes: this machine dials his relay; or to
    its open port, else dialled; none comes. Since the start: dialled, let_in (through the open port), refused: how many;
    up_bytes to them, down_bytes from them."""

    here: int = 0
    most: int = 0
    way: Way = "none"
    dialled: int = 0
    let_in: int = 0
    standing: int = 0
    stood_by: int = 0
    refused: int = 0
    up_bytes: int = 0
    down_bytes: int = 0
