"""What a host is ordered to serve, map by map. For tests."""

from libs.events import MapName, OrderedMap

FIELD, DUNGEON = MapName("moc_fild01"), MapName("pay_dun01")


def ordered(tenure: int = 7, role: str = "primary") -> OrderedMap:
    return OrderedMap(tenure=tenure, role=role)  # type: ignore[arg-type]
