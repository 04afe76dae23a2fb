"""drain, ban: what an operator says of a host. Said once, kept in the log; the registry and the deciders act on it."""

import asyncio
import getpass
from typing import Annotated

import msgspec
import typer

from libs.bus.nats import NatsBus
from libs.events import HostId, OpsBan, OpsDrain, is_name
from libs.hosting.effects import Append, Committed, Outcome, Refused
from libs.runtime.clock import Clock
from services.ops.commands.options import AsJson, Credentials, NatsUrl, target
from services.ops.console import FINDING, end, out, print_json, says_errors
from services.ops.reading import Target, connected

TRIES = 5
"""Another operator may say something of the same host at the same moment."""
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="A host's id.")]


@says_errors
def drain(
    host: HostArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it in again.")] = False,
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Take a host out in order: nothing new for it, its maps are moved, then it is down. --undo lets it in again.

    Example: kafra drain my_pc
    """
    now_ms = Clock().now_ms()
    said = OpsDrain(host=_host(host), at_ms=now_ms, draining=not undo, by=getpass.getuser())
    _tell(target(nats, credentials), said, as_json)


@says_errors
def ban(
    host: HostArgument,
    reason: Annotated[str, typer.Option(help="Why; the log keeps it.")] = "by the operator",
    hours: Annotated[float | None, typer.Option(min=0.0, max=87_600.0, help="For how long; default: until lifted.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="End the ban.")] = False,
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Exclude a host at once. --lift ends it.

    Example: kafra ban my_pc --hours 24 --reason 'sold zeny'
    """
    now_ms = Clock().now_ms()
    until_ms = now_ms if lift else None if hours is None else now_ms + int(hours * 3_600_000)
    said = OpsBan(host=_host(host), at_ms=now_ms, until_ms=until_ms, reason=reason[:1000], by=getpass.getuser())
    _tell(target(nats, credentials), said, as_json)


def _host(name: str) -> HostId:
    if not is_name(name):
        raise typer.BadParameter(f"{name!r} is no host id: 1-32 of A-Z a-z 0-9 _ @ -")
    return HostId(name)


def _tell(where: Target, said: OpsDrain | OpsBan, as_json: bool) -> None:
    outcome = asyncio.run(_append(where, said))
    if not isinstance(outcome, Committed):
        end(FINDING, f"{said.host}: not written: {outcome}")
    if as_json:
        return print_json({"host": said.host, "seq": outcome.seq, "event": msgspec.to_builtins(said)})
    out.print(f"said as HOSTS:{outcome.seq}; watch it: kafra hosts", markup=False)
    return None


async def _append(where: Target, said: OpsDrain | OpsBan) -> Outcome:
    async with connected(where) as bus:
        for _ in range(TRIES):
            outcome = await bus.append(Append(said, await _last_seq(bus, said)))
            if not isinstance(outcome, Refused):
                break
        return outcome


async def _last_seq(bus: NatsBus, said: OpsDrain | OpsBan) -> int:
    last = await bus.last(type(said), said.host)
    return last.seq if last is not None else 0
