"""The words of the kafra command: up, demo, hosts, maps, events, explain, replay, config, rathena, bundle, serve, agent.

Exit codes: 0 done, 1 a finding, 2 usage, 3 nothing answers.
"""

from typing import Annotated

import typer

from libs.version import VERSION
from services.ops.commands import bundle, checking, enrolling, looking, rathena, running, telling

app = typer.Typer(
    name="kafra",
    help="Players' machines host the maps of an rAthena server; the operator's VPS stands ready behind them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(running.up)
app.command()(running.demo)
app.command()(running.serve)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(running.agent)
app.command()(looking.maps)
app.command()(looking.events)
app.command()(looking.explain)
app.command()(telling.drain)
app.command()(telling.ban)
app.add_typer(enrolling.hosts_group, name="hosts")
app.add_typer(checking.replay_group, name="replay")
app.add_typer(checking.config_group, name="config")
app.add_typer(rathena.rathena_group, name="rathena")
app.add_typer(bundle.bundle_group, name="bundle")


def _version(asked: bool) -> None:
    if asked:
        print(f"kafra {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="What this is.", callback=_version, is_eager=True)] = False,
) -> None:
    """Players' machines host the maps of an rAthena server; the operator's VPS stands ready behind them."""
