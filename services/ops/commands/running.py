"""up, serve, demo, agent: processes that run."""

import asyncio
import importlib
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from libs.config import Settings, load
from libs.events import NodeName
from libs.identity.certificates import BadCertificate, ServerCertificate, is_loopback, server_certificate
from libs.runtime.log import start_logging
from libs.runtime.loop import stop_on_signals
from libs.runtime.service import run
from services.bridge.settings import CannotStart, layout_of, rules_of
from services.ops.commands.options import AsJson, ConfigFile
from services.ops.console import DONE, FINDING, end, err, out, print_json_line, says_errors
from services.ops.stack import EVERYWHERE, RATHENA, SERVICES, Stack, StackOptions, check_only, default_store


@says_errors
def up(
    config: ConfigFile = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of NATS; 0: any free one.")] = 4222,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where everything is kept; default: ~/.local/state/kafra.")
    ] = None,
    only: Annotated[str, typer.Option(metavar="A,B", help=f"Only these of {', '.join((*SERVICES, *RATHENA))}.")] = "",
    replicas: Annotated[int, typer.Option(min=1, max=8, help="Of each service.")] = 1,
    listen: Annotated[str, typer.Option(metavar="ADDRESS", help="Address NATS listens on.")] = "127.0.0.1",
    tls: Annotated[
        Path | None, typer.Option(metavar="DIR", help="cert.pem and key.pem: everybody who connects encrypts.")
    ] = None,
    websocket: Annotated[
        int | None, typer.Option(min=0, max=65535, metavar="PORT", help="Agents may come by websocket too; 0: any free port.")
    ] = None,
    rathena: Annotated[bool, typer.Option("--rathena", help="Bridge and relay too: docs/rathena.md.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="No authorization, loopback only: for labs and tests.")] = False,
    as_json: AsJson = False,
) -> None:
    """Everything on one machine: NATS and all services, restarted if they die. Ends cleanly on SIGTERM and Ctrl-C.

    Example: kafra up --config conf/p2p_map_config.conf
    Agents from the internet: kafra up --listen 0.0.0.0 --tls /etc/kafra/tls --websocket 443
    """
    try:
        chosen = check_only(only.split(","))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    if rathena:
        chosen = tuple(dict.fromkeys((*chosen, *RATHENA)))
    if open_ and listen not in ("127.0.0.1", "localhost", "::1"):
        raise typer.BadParameter("--open is for loopback only", param_hint="--listen")
    if tls is not None and listen not in EVERYWHERE and not is_loopback(listen):
        raise typer.BadParameter("with --tls it is 0.0.0.0, or loopback: our own services connect there", param_hint="--listen")
    certificate = _certificate(tls)
    settings = load(config, os.environ)  # a wrong configuration is said here, once, not by every service
    if set(chosen) & set(RATHENA):
        _can_start(settings)
    start_logging("up", "info")
    options = StackOptions(
        store=store or default_store(),
        port=port,
        listen=listen,
        tls=certificate,
        websocket_port=websocket,
        open=open_,
        config=config,
        only=chosen,
        replicas=replicas,
    )
    if certificate is None and not is_loopback(listen):
        err.print("What agents and Kafra say to each other can be read on the way: --tls DIR encrypts it.", style="yellow")
    raise typer.Exit(asyncio.run(_up(options, as_json)))


@says_errors
def serve(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join((*SERVICES, *RATHENA))}.")],
) -> None:
    """One service in this process, as in a container. Settings: KAFRA_CONFIG, KAFRA__GROUP__KEY, KAFRA_HEALTH_PORT.

    Example: KAFRA__NATS__URL=nats://nats:4222 kafra serve scorer
    """
    if service in RATHENA:
        importlib.import_module(f"services.{service}.__main__").main()  # ends the process
    if service not in SERVICES:
        raise typer.BadParameter(f"{service!r}; there are: {', '.join((*SERVICES, *RATHENA))}")
    run(importlib.import_module(f"services.{service}.shell").SERVICE)


def agent(context: typer.Context) -> None:
    """This machine as a host of maps.

    Example: kafra agent --nats nats://play.example.org:4222 --host-id my_pc --simulate
    """
    from services.agent.__main__ import main

    raise typer.Exit(main(context.args))


@says_errors
def demo(
    seconds: Annotated[int, typer.Option(min=5, max=3600, help="How long players play.")] = 45,
    hosts: Annotated[int, typer.Option(min=1, max=1000, help="Simulated hosts.")] = 200,
    players: Annotated[
        int, typer.Option(min=8, max=10_000, help="Players: 8 recorded, the others walk the warp graph.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Of all that is made up.")] = 1,
    store: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the run's log here.")] = None,
    as_json: AsJson = False,
) -> None:
    """The main job, made visible: hosts come, die, cheat and return while players walk the real map graph. Exit code 0
    only if every invariant held and the run's own log is decided alike again.

    Example: kafra demo --seconds 20 --hosts 50
    """
    from services.ops.demo.demo import run_demo
    from services.ops.demo.options import DemoOptions

    logging.disable(logging.INFO)
    raise typer.Exit(asyncio.run(run_demo(DemoOptions(seconds, hosts, players, seed, store, as_json))))


def _certificate(directory: Path | None) -> ServerCertificate | None:
    if directory is None:
        return None
    now = datetime.now(UTC)
    try:
        found = server_certificate(directory, now)
    except BadCertificate as error:
        end(FINDING, str(error))
    if found.ends_soon(now):
        err.print(f"{found.certificate} ends {found.until:%Y-%m-%d}: renew it, then start again", style="yellow")
    return found


def _can_start(settings: Settings) -> None:
    """What the bridge would say before it ends, and again each time it is started."""
    try:
        rules_of(settings, NodeName("bridge"))
        layout_of(settings)
    except CannotStart as error:
        end(FINDING, str(error))


def _doors(settings: Settings) -> str:
    bridge, relay = settings.bridge, settings.relay
    hosts = f", hosts come to {bridge.hosts} and {relay.hosts}" if relay.hosts else f", hosts come to {bridge.hosts}"
    return f"map-servers link to {bridge.map_servers}, players come to {relay.listen} and are told {relay.public}{hosts}"


async def _up(options: StackOptions, as_json: bool) -> int:
    stopped = stop_on_signals()
    stack = Stack(options)
    starting = asyncio.ensure_future(stack.start())
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return DONE
        starting.result()
        assert stack.supervisor is not None
        pids = {child.name: child.pid for child in stack.supervisor.children}
        if as_json:
            ready = {"event": "ready", "nats": stack.url, "nats_pid": stack.server.pid, "services": pids}
            print_json_line(ready | {"websocket_port": stack.server.websocket_port})
        else:
            out.print(f"Kafra is up. NATS: {stack.url}  store: {options.store}", soft_wrap=True)
            out.print(f"services: {', '.join(f'{name} ({pid})' for name, pid in pids.items())}", soft_wrap=True)
            if set(options.only) & set(RATHENA):
                out.print(_doors(load(options.config, options.environ)), soft_wrap=True)
            out.print("look at it: kafra hosts | maps | events --follow      end: Ctrl-C", style="dim")
        sys.stdout.flush()
        await stopping
        err.print("ending ...", style="dim")
    finally:
        stopping.cancel()
        await stack.stop()
    return DONE
