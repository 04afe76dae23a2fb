"""Options several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from services.ops.reading import Target

NatsUrl = Annotated[
    str | None, typer.Option("--nats", metavar="URL", help="Where NATS listens; default: the local `kafra up`.")
]
Credentials = Annotated[
    Path | None, typer.Option("--credentials", metavar="FILE", help="user:password, nkey seed or .creds; default: its own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="p2p_map_config.conf; default: the shipped one.")
]


def target(url: str | None, credentials: Path | None) -> Target:
    return Target(url, credentials)
