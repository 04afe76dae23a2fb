"""What the twins' players say to each other, on one server and across two."""

from collections.abc import AsyncIterator

import pytest

from libs.rathena.structs import CHARACTER, patched, shipped
from tests.rathena.twin.client import TwinClient
from tests.rathena.twin.town import PEOPLE, Town

FIRST, SECOND, THIRD = PEOPLE


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with Town.running() as running:
        yield running


async def two_servers(town: Town) -> tuple[TwinClient, TwinClient, TwinClient]:
    """The first and the second on the field, the third in the city."""
    await town.field_and_city()
    third = await town.player(2)
    third.walk(170, 378)
    await third.until(lambda: third.core.reconnects and third.core.standing)
    return await town.player(0), await town.player(1), third


async def test_chat_is_heard_on_the_map(town: Town) -> None:
    first, second, third = await two_servers(town)

    first.say(b"hello")
    await second.until(lambda: b"Twin001 : hello" in second.core.chat)
    await first.until(lambda: b"Twin001 : hello" in first.core.chat)

    assert b"Twin001 : hello" not in third.core.chat


@pytest.mark.parametrize(("number", "way"), [(1, "on the same server"), (2, "on another")])
async def test_a_whisper_arrives(town: Town, number: int, way: str) -> None:
    players = await two_servers(town)
    first, target = players[0], players[number]

    first.whisper(PEOPLE[number].name, b"psst")
    await target.until(lambda: target.core.whispers)
    await first.until(lambda: first.core.acks)

    assert target.core.whispers == [(FIRST.name, b"psst")]
    assert first.core.acks == [0]


async def test_a_whisper_to_nobody_is_answered_so(town: Town) -> None:
    first, _, third = await two_servers(town)
    third.leave()
    await town.char.until(lambda: THIRD.char_id not in town.store.online)

    first.whisper(b"NoSuchOne", b"psst")
    first.whisper(THIRD.name, b"psst")
    await first.until(lambda: len(first.core.acks) == 2)

    assert first.core.acks == [1, 1]


async def test_a_broadcast_reaches_the_other_server_with_the_stock_word_before_it(town: Town) -> None:
    first, second, third = await two_servers(town)

    first.say(b"@kami to all")
    await second.until(lambda: b"to all" in second.core.chat)
    await third.until(lambda: b"blueto all" in third.core.chat)

    assert third.core.chat.count(b"blueto all") == 1


async def test_a_party_hears_each_other_across_servers(town: Town) -> None:
    for who in (FIRST, THIRD):
        record = town.store.chars[who.char_id]
        record.status = patched(shipped(), CHARACTER, record.status, {"party_id": 7})
    first, second, third = await two_servers(town)

    first.party(b"to us")
    await third.until(lambda: b"Twin001 : to us" in third.core.chat)
    await first.until(lambda: b"Twin001 : to us" in first.core.chat)

    assert b"Twin001 : to us" not in second.core.chat
