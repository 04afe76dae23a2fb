"""The responder on its port: held against libmariadb, the library a map-server uses, and against peers that are none."""

import asyncio
import ctypes
import random
from collections.abc import AsyncIterator

import pytest

from services.agent.sql import responder as room
from services.agent.sql.responder import Responder
from services.agent.sql.session import DATABASE, USER
from tests.rathena.libmariadb import Client, Refused, load

BOOT = (
    b"SELECT `nameid`,UNIX_TIMESTAMP(`start`),UNIX_TIMESTAMP(`end`),`amount` FROM `sales` WHERE `end` > now()",
    b"SELECT * FROM `db_roulette`",
    b"SELECT `name`,`nameid`,`price`,`amount`,`flag` FROM `market` ORDER BY `name`",
)


@pytest.fixture
async def responder() -> AsyncIterator[Responder]:
    responder = Responder()
    await responder.start()
    yield responder
    responder.close()


@pytest.fixture
def library() -> ctypes.CDLL:
    library = load()
    if library is None:
        pytest.skip("libmariadb is not on this machine: the protocol's bytes are tested in tests/unit/test_sql_session.py")
    return library


async def test_libmariadb_gets_in_and_is_told_that_there_is_nothing(responder: Responder, library: ctypes.CDLL) -> None:
    def talk() -> list[object]:
        client = Client(library, responder.port, USER, responder.password, DATABASE)
        said: list[object] = [client.query(b"SHOW VARIABLES LIKE 'wait_timeout'"), client.ping()]
        said += [client.query(statement) for statement in BOOT]
        said.append(client.query(b"DELETE FROM `vendings`;"))
        said.append(client.prepared(b"SELECT `varname`,`index`,`value` FROM `mapreg`"))
        said.append(client.prepared(b"INSERT DELAYED INTO `picklog` (`a`,`b`) VALUES (NOW(), ?, ?)"))
        client.close()
        return said

    said = await asyncio.to_thread(talk)

    assert said == [[[b"wait_timeout", b"28800"]], True, [], [], [], None, (0, 3, 0), (2, 0, 0)]
    assert responder.counts.statements["select mapreg"] == 1
    assert responder.counts.unknown == 1


async def test_libmariadb_without_the_password_is_refused(responder: Responder, library: ctypes.CDLL) -> None:
    for user, password in ((USER, ""), (USER, "ragnarok"), ("root", responder.password[:-1])):
        with pytest.raises(Refused, match="1045"):
            await asyncio.to_thread(Client, library, responder.port, user, password, DATABASE)
    assert responder.counts.refused == 3


async def test_each_start_has_a_password_of_its_own(responder: Responder) -> None:
    assert Responder().password != responder.password
    assert len(responder.password) == 32


async def test_strangers_are_bounded_and_do_not_keep_their_place(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOGIN_TIMEOUT_S", 0.2)
    idle = [await asyncio.open_connection("127.0.0.1", responder.port) for _ in range(room.STRANGERS_MAX)]
    for reader, _ in idle:
        await reader.readexactly(4)

    late_reader, late = await asyncio.open_connection("127.0.0.1", responder.port)
    refusal = await asyncio.wait_for(late_reader.read(), 10)
    for reader, _ in idle:
        await asyncio.wait_for(reader.read(), 10)

    assert refusal[4:7] == b"\xff\x10\x04"
    assert not responder.connections
    for writer in (late, *(writer for _, writer in idle)):
        writer.close()


@pytest.mark.parametrize("seed", range(8))
async def test_garbage_costs_its_own_connection_only(responder: Responder, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", responder.port)
        writer.write(rng.randbytes(rng.randint(1, 5_000)))
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
        writer.close()

    reader, writer = await asyncio.open_connection("127.0.0.1", responder.port)
    greeting = await asyncio.wait_for(reader.readexactly(5), 10)
    writer.close()

    assert greeting[4] == 10


async def test_after_close_nobody_is_connected(responder: Responder) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", responder.port)
    await reader.readexactly(4)

    responder.close()

    with pytest.raises(OSError, match=r"."):
        await asyncio.wait_for(_read_on(reader), 10)
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", responder.port)
    writer.close()


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass
    raise ConnectionResetError("closed")
