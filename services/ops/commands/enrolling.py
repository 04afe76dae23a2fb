"""hosts add, hosts remove: which key speaks for which host. Said once, kept in the log; `kafra up` acts on it at once."""

import asyncio
import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from libs.bus.nats import NatsBus
from libs.bus.port import Start
from libs.events import HostId, OpsEnroll, Stream, is_name
from libs.hosting.effects import Append, Committed, Refused
from libs.identity.authority import CONFIG, SERVICES, issue, make_authority, revoke
from libs.identity.keys import BadKey, check_host_key
from libs.runtime.clock import Clock
from services.ops.commands import looking
from services.ops.commands.options import AsJson, ConfigFile, Credentials, NatsUrl, target
from services.ops.console import FINDING, end, out, print_json, says_errors
from services.ops.enrolled import Enrolled
from services.ops.reading import CATCH_UP_TIMEOUT_S, Target, connected

TRIES = 5
"""Another operator may say something of the same host at the same moment."""
HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="A host's id.")]
AuthorityDir = Annotated[
    Path | None, typer.Option("--authority", metavar="DIR", help="NATS runs in a cluster, and this vouches for its hosts.")
]
Retire = Callable[[str], None]
ACCOUNT_MAX = 2**32 - 1

hosts_group = typer.Typer(rich_markup_mode=None)


@hosts_group.callback(invoke_without_command=True, help=looking.hosts.__doc__)
def hosts(
    context: typer.Context,
    nats: NatsUrl = None,
    credentials: Credentials = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """See looking.hosts."""
    if context.invoked_subcommand is None:
        looking.hosts(nats, credentials, config, as_json)
    elif nats or credentials or config or as_json:
        raise typer.BadParameter(f"options stand behind the command: kafra hosts {context.invoked_subcommand} ... --nats URL")


@hosts_group.command()
@says_errors
def add(
    host: HostArgument,
    key: Annotated[str, typer.Option(metavar="U...", help="Its public key, as `kafra agent enroll` shows it.")],
    account: Annotated[int, typer.Option(min=1, max=ACCOUNT_MAX, help="Its player's account id.")],
    replace: Annotated[bool, typer.Option("--replace", help="Bind it anew, to another key or account.")] = False,
    authority: AuthorityDir = None,
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Let a host in: from now on the holder of this key may speak as HOST, and nobody else. Kafra must be running.
    Where NATS runs in a cluster: --authority makes the token that the host shows there.

    Example: kafra hosts add my_pc --key UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 --account 2000001
    """
    try:
        checked = check_host_key(key)
    except BadKey as error:
        raise typer.BadParameter(str(error), param_hint="--key") from None
    said = OpsEnroll(host=_host(host), at_ms=Clock().now_ms(), key=checked, account_id=account, by=getpass.getuser())
    with _authority_errors():
        seq = asyncio.run(_add(target(nats, credentials), said, replace, _retiring(authority)))
        token = None if authority is None else _write_token(authority, said.host, checked)
    if as_json:
        made = {} if token is None else {"token": str(token)}
        return print_json({"host": said.host, "seq": seq, "event": msgspec.to_builtins(said)} | made)
    out.print(f"{host} may connect (HOSTS:{seq}); its player can start the agent", markup=False)
    if token is not None:
        out.print(f"Give its player {token}, for: kafra agent enroll --host-id {host} --token {token.name}", markup=False)
    return None


@hosts_group.command()
@says_errors
def remove(
    host: HostArgument,
    authority: AuthorityDir = None,
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Let a host in no more: it is disconnected, and its key is worth nothing. `kafra drain` first spares its players the wait.

    Example: kafra hosts remove my_pc
    """
    with _authority_errors():
        seq, said = asyncio.run(_remove(target(nats, credentials), _host(host), _retiring(authority)))
    if as_json:
        return print_json({"host": host, "seq": seq, "event": msgspec.to_builtins(said)})
    out.print(f"{host} may connect no more (HOSTS:{seq})", markup=False)
    if authority is not None:
        out.print(f"As soon as NATS has read {authority / CONFIG}: deploy/k8s/README.md, Hosts", markup=False)
    return None


@hosts_group.command("authority")
@says_errors
def make(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where; an authority there is left as it is.")]) -> None:
    """For NATS in a cluster: make the keys that vouch for hosts. deploy/k8s/README.md says which file goes where.

    Example: kafra hosts authority ~/kafra-authority
    """
    make_authority(directory, Clock().now_ms() // 1000)
    out.print(
        f"made in {directory}: {CONFIG} is for NATS, {SERVICES} for Kafra's services; the rest stays with you", markup=False
    )


def _retiring(authority: Path | None) -> Retire:
    """What to do with a key whose time is over."""

    def retire(key: str) -> None:
        if authority is not None:
            revoke(authority, key, Clock().now_ms() // 1000)

    return retire


def _write_token(authority: Path, host: HostId, key: str) -> Path:
    path = authority / f"{host}.jwt"
    path.write_text(issue(authority, host, key, Clock().now_ms() // 1000) + "\n", encoding="utf-8")
    return path


@contextmanager
def _authority_errors() -> Iterator[None]:
    try:
        yield
    except BadKey as error:
        end(FINDING, str(error))


def _host(name: str) -> HostId:
    if not is_name(name):
        raise typer.BadParameter(f"{name!r} is no host id: 1-32 of A-Z a-z 0-9 _ @ -")
    return HostId(name)


async def _add(where: Target, said: OpsEnroll, replace: bool, retire: Retire) -> int:
    """The sequence in HOSTS at which the host is so bound; what it already is is not written again."""
    async with connected(where) as bus:
        for _ in range(TRIES):
            enrolled = await _enrolled(bus)
            if (objection := enrolled.objection(said, replace=replace)) is not None:
                end(FINDING, objection)
            kept = enrolled.hosts.get(said.host)
            if kept is not None and (kept.key, kept.account_id) == (said.key, said.account_id):
                return enrolled.seqs[said.host]
            if kept is not None and kept.key not in (None, said.key):
                retire(kept.key)  # first: what fails here is tried again as a whole
            outcome = await bus.append(Append(said, enrolled.seqs.get(said.host, 0)))
            if not isinstance(outcome, Refused):
                break
    if not isinstance(outcome, Committed):
        end(FINDING, f"{said.host}: not written: {outcome}")
    return outcome.seq


async def _remove(where: Target, host: HostId, retire: Retire) -> tuple[int, OpsEnroll]:
    async with connected(where) as bus:
        for _ in range(TRIES):
            enrolled = await _enrolled(bus)
            kept = enrolled.hosts.get(host)
            if kept is None:
                end(FINDING, f"{host} was never let in: kafra hosts")
            if kept.key is None:
                return enrolled.seqs[host], kept
            retire(kept.key)  # first: what fails here is tried again as a whole
            said = OpsEnroll(host=host, at_ms=Clock().now_ms(), key=None, account_id=kept.account_id, by=getpass.getuser())
            outcome = await bus.append(Append(said, enrolled.seqs[host]))
            if not isinstance(outcome, Refused):
                break
    if not isinstance(outcome, Committed):
        end(FINDING, f"{host}: not written: {outcome}")
    return outcome.seq, said


async def _enrolled(bus: NatsBus) -> Enrolled:
    enrolled = Enrolled()
    following = await bus.follow([Stream.HOSTS], enrolled.apply, Start.LAST_PER_SUBJECT)
    try:
        await following.caught_up(CATCH_UP_TIMEOUT_S)
    finally:
        await following.close()
    return enrolled
