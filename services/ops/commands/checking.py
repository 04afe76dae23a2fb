"""config check, replay verify: what is right, and what would be decided again."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from libs.config import ConfigError, load
from services.ops.commands.options import AsJson, Credentials, NatsUrl, target
from services.ops.console import DONE, FINDING, end, err, out, print_json, says_errors
from services.ops.reading import Target, connected, read_log
from services.ops.replay import BELOW_HORIZON, Report, verify

config_group = typer.Typer(help="The configuration.", no_args_is_help=True)
replay_group = typer.Typer(help="The log, decided again.", no_args_is_help=True)


@config_group.command("check")
@says_errors
def config_check(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the shipped file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every mistake in a configuration, with file, line, key and what is allowed. Exit code 1 if there is one.

    Example: kafra config check conf/p2p_map_config.conf
    """
    try:
        settings = load(file, os.environ)
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "findings": [asdict(finding) for finding in error.findings]})
            raise typer.Exit(FINDING) from None
        end(FINDING, str(error))
    if as_json:
        print_json({"ok": True, "hash": settings.hash(), "settings": settings.public()})
    else:
        out.print(f"{file or 'the shipped configuration'} is right; its hash is {settings.hash()}")


@replay_group.command("verify")
@says_errors
def replay_verify(
    nats: NatsUrl = None,
    credentials: Credentials = None,
    as_json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Go on after the first difference.")] = False,
) -> None:
    """Decide every decision of the log again at its recorded basis. Exit code 1 at the first difference.

    Example: kafra replay verify
    """
    report = asyncio.run(verify_running(target(nats, credentials), first_only=not every, quiet=as_json))
    if as_json:
        print_json(asdict(report))
    else:
        print_report(report)
    if report.decisions == 0 and BELOW_HORIZON in report.skipped:
        end(FINDING, "the log is truncated: nothing of it can be decided again")
    raise typer.Exit(FINDING if report.differences else DONE)


async def verify_running(where: Target, *, first_only: bool = True, quiet: bool = False) -> Report:
    """Read the whole log of a running system and decide it again."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        reading = progress.add_task("reading the log", total=None)
        async with connected(where) as bus:
            log = await read_log(bus, lambda stream, count: progress.update(reading, description=f"{stream}: {count}"))
        progress.update(reading, description="read", total=1, completed=1)
        deciding = progress.add_task("deciding again", total=len(log.assignments))
        return verify(log, lambda done: progress.update(deciding, completed=done), first_only=first_only)


def print_report(report: Report) -> None:
    for difference in report.differences:
        out.print(str(difference), style="red", markup=False)
    for why, count in sorted(report.skipped.items()):
        out.print(f"not decided again: {count} decisions: {why}", style="yellow")
    verdict = f"{len(report.differences)} differ" if report.differences else "no difference"
    out.print(f"{report.decisions} decisions in {report.looks} looks of {report.deciders} deciders: {verdict}")
