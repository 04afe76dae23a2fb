"""Options several commands share."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

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
    """
    Raises:
        typer.BadParameter: no address of a NATS server.
    """
    if url is not None and not all(_is_address(part) for part in url.split(",")):
        raise typer.BadParameter(f"{url!r}; it looks like nats://HOST:PORT", param_hint="--nats")
    return Target(url, credentials)


def _is_address(url: str) -> bool:
    """nats://host:port, also tls, ws, wss; a bare host:port is nats."""
    try:
        at = urlsplit(url if "://" in url else f"nats://{url}")
        return at.scheme in ("nats", "tls", "ws", "wss") and bool(at.hostname) and (at.port is None or at.port > 0)
    except ValueError:
        return False
