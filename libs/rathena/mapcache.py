"""rAthena's map cache: which cells of a map can be walked on, every map in one file. Cut down to some maps, nothing unpacked.

Source: map_init_mapcache and map_readfromcache of rAthena 754c50b59; little-endian, as tools/mapcache writes it.
"""

from collections.abc import Iterator
from struct import Struct, error
from typing import Final

_HEAD: Final = Struct("<IHxx")
"""Bytes of the whole file, number of maps."""
_MAP: Final = Struct("<12shhi")
"""Name, width, height, bytes that follow."""


class BadMapCache(Exception):
    """The data is no map cache, or ends too early. Give up; make it anew with rAthena's mapcache."""


def map_names(data: bytes) -> tuple[str, ...]:
    """In the order of the file. Raises: BadMapCache."""
    return tuple(name for name, _ in _maps(data))


def only(data: bytes, names: frozenset[str]) -> bytes:
    """The same cache with these maps alone. Raises: BadMapCache."""
    kept = [entry for name, entry in _maps(data) if name in names]
    return _HEAD.pack(_HEAD.size + sum(map(len, kept)), len(kept)) + b"".join(kept)


def _maps(data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        _, count = _HEAD.unpack_from(data)
        at = _HEAD.size
        for _ in range(count):
            name, _, _, size = _MAP.unpack_from(data, at)
            end = at + _MAP.size + size
            if size < 0 or end > len(data):
                raise BadMapCache("no map cache, or one that ends too early")
            yield name.partition(b"\0")[0].decode("latin-1"), data[at:end]
            at = end
    except error:
        raise BadMapCache("no map cache, or one that ends too early") from None
