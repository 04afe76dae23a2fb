"""Packets that carry a struct to their end, and whether it has the size of this build's.

In: a packet and a layout. Out: what is wrong with it, or None.
"""

from typing import Final

from libs.rathena.layout import CHARACTER, STORAGE, Layout

_CARRIED: Final = {
    0x2B01: (13, CHARACTER),
    0x2AFD: (25, CHARACTER),
    0x308B: (13, STORAGE),
    0x388A: (10, STORAGE),
    0x3019: (12, STORAGE),
    0x3818: (13, STORAGE),
}
"""Packet id -> (bytes before the struct, struct that fills the rest)."""


def mismatch(layout: Layout, packet: bytes) -> str | None:
    """What is wrong with the size of a packet that carries a struct, and what to do; None where nothing is. The stock
    char-server would refuse such a save without a word."""
    packet_id = int.from_bytes(packet[:2], "little")
    if packet_id not in _CARRIED:
        return None
    before, struct_name = _CARRIED[packet_id]
    size = layout.structs[struct_name].size if struct_name in layout.structs else -1
    if len(packet) == before + size:
        return None
    return (
        f"packet {packet_id:04x} has {len(packet)} bytes: {struct_name} has {len(packet) - before} in this server's build "
        f"and {size} in the layout {layout.name!r}. Make it anew with `kafra rathena layout MAP_SERVER_BINARY`, "
        "and build every server of this world from the same source."
    )
