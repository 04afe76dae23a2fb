"""Core messages: what every bus promises (libs.bus.port)."""

import asyncio

from libs.events import HostDial, HostDialReply, HostId, HostLost, Stream, encode


def lost(host: str = "h1", link: str = "1") -> HostLost:
    return HostLost(host=HostId(host), at_ms=1, link=link)


def dial(host: str = "h1", relay: str = "r") -> HostDial:
    return HostDial(host=HostId(host), relay=relay, address="a", port=1, ticket="t")


async def test_what_is_said_is_heard_in_order(bus_factory, eventually):
    speaker, listener = await bus_factory("speaker"), await bus_factory("listener")
    heard: list[str] = []
    await listener.hear(HostLost, lambda event: heard.append(event.link))

    for number in range(300):
        speaker.say(lost(link=str(number)))
    await eventually(lambda: len(heard) >= 300)

    assert heard == [str(number) for number in range(300)]


async def test_soon_comes_after_what_has_come_and_whether_or_not_anything_comes(bus_factory, eventually):
    speaker, listener = await bus_factory("speaker"), await bus_factory("listener")
    done: list[str] = []

    def on_lost(event: HostLost) -> None:
        done.append(event.link)
        listener.soon(lambda: done.append(f"after {event.link}"))

    await listener.hear(HostLost, on_lost)
    listener.soon(lambda: done.append("alone"))
    await eventually(lambda: done == ["alone"])
    for number in range(50):
        speaker.say(lost(link=str(number)))
    speaker.flush()
    await eventually(lambda: len(done) >= 101)

    assert [link for link in done if link.isdecimal()] == [str(number) for number in range(50)]
    assert [word for word in done if word.startswith("after")] == [f"after {number}" for number in range(50)]
    assert all(done.index(f"after {number}") > done.index(str(number)) for number in range(50))
    assert len(done) == 101


async def test_a_listener_to_one_token_hears_no_other(bus_factory, eventually):
    bus = await bus_factory()
    heard: list[str] = []
    await bus.hear(HostLost, lambda event: heard.append(event.host), token="h2")

    for host in ("h1", "h2", "h3", "h2"):
        bus.say(lost(host))
    await eventually(lambda: len(heard) >= 2)

    assert heard == ["h2", "h2"]


async def test_of_a_queue_one_member_hears_each(bus_factory, eventually):
    bus = await bus_factory()
    heard: list[tuple[int, str]] = []
    for member in range(3):
        other = await bus_factory(f"member-{member}")
        await other.hear(HostLost, lambda event, member=member: heard.append((member, event.link)), queue="q")

    for number in range(300):
        bus.say(lost(link=str(number)))
    await eventually(lambda: len(heard) >= 300)

    assert sorted(int(link) for _, link in heard) == list(range(300))
    assert {member for member, _ in heard} == {0, 1, 2}


async def test_a_malformed_word_is_buried_and_not_heard(bus_factory, eventually):
    bus = await bus_factory()
    heard: list[HostLost] = []
    letters = []
    await bus.hear(HostLost, heard.append)
    await bus.follow([Stream.DEAD], letters.append, "all")

    await bus_factory.publish("host.lost.h1", b"\xc1")
    await bus_factory.publish("host.lost.h2", encode(lost("h1")))
    bus.say(lost("h3"))
    await eventually(lambda: heard and len(letters) >= 2)

    assert heard == [lost("h3")]
    assert {fact.event.subject for fact in letters} == {"host.lost.h1", "host.lost.h2"}


async def test_nobody_hears_after_close(bus_factory):
    bus = await bus_factory()
    heard: list[HostLost] = []
    listening = await bus.hear(HostLost, heard.append)

    await listening.close()
    bus.say(lost())
    await bus.ping(5)

    assert heard == []


async def test_a_request_is_answered(bus_factory):
    asker, answerer = await bus_factory("asker"), await bus_factory("answerer")

    async def handler(request: HostDial) -> HostDialReply:
        await asyncio.sleep(0)
        return HostDialReply(ok=True, reason=request.relay)

    await answerer.answer(HostDial, handler, token="h1")

    replies = await asyncio.gather(*(asker.ask(dial(relay=f"r{number}"), 5) for number in range(50)))

    assert replies == [HostDialReply(ok=True, reason=f"r{number}") for number in range(50)]


async def test_nobody_to_answer_is_known_at_once(bus_factory):
    bus = await bus_factory()

    async with asyncio.timeout(5):
        assert await bus.ask(dial(), 60) is None


async def test_a_silent_a_slow_and_a_failing_answer_are_none(bus_factory):
    bus = await bus_factory()
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))

    async def handler(request: HostDial) -> HostDialReply | None:
        if request.relay == "slow":
            await asyncio.sleep(60)
        if request.relay == "failing":
            raise LookupError("a bug")
        return HostDialReply(ok=True) if request.relay == "well" else None

    await bus.answer(HostDial, handler)

    answers = [await bus.ask(dial(relay=relay), 0.2) for relay in ("silent", "slow", "failing")]

    assert answers == [None, None, None]
    assert [type(failure) for failure in failures] == [LookupError]
    assert await bus.ask(dial(relay="well"), 5) == HostDialReply(ok=True)


async def test_of_a_queue_of_answerers_one_is_asked(bus_factory):
    bus = await bus_factory()
    asked: list[int] = []
    for member in range(3):
        other = await bus_factory(f"member-{member}")

        async def handler(_: HostDial, member: int = member) -> HostDialReply:
            asked.append(member)
            return HostDialReply(ok=True)

        await other.answer(HostDial, handler, queue="q")

    for _ in range(60):
        assert await bus.ask(dial(), 5) is not None

    assert len(asked) == 60
    assert set(asked) == {0, 1, 2}
