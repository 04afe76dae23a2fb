"""Connections that stand between the relay and the host of a `DialLab`."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from libs.link.messages import Stand, Wished
from tests.rathena.dial_lab import FIELD, HOST, DialLab, dial_lab
from tests.rathena.relay_words import map_move, welcome


def wish(place: DialLab, count: int, **more: Any) -> None:
    hosts = [Wished(host=HOST, key=place.link.key, count=count, **more)] if count else []
    place.town.bridge.say(Stand(hosts=hosts))


async def stand(place: DialLab, count: int) -> None:
    await place.town.news.until(lambda: standing(place) == (count, count))


def standing(place: DialLab) -> tuple[int, int]:
    """At the relay, at the agent."""
    return place.back.reserve.status()["standing"], place.dialing.standing


@contextlib.asynccontextmanager
async def ready(directory: Path, url: str, count: int, **more: Any) -> AsyncIterator[DialLab]:
    """A host with a map-server, and so many connections that stand."""
    async with dial_lab(directory, url, **more) as place:
        await place.server(welcome() + map_move(FIELD, 100, 200))
        wish(place, count)
        await stand(place, count)
        yield place
