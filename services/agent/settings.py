"""What an agent is told on its command line; `kafra agent --help` shows the same."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AgentSettings:
    """url: of NATS. seed: path of the host's nkey seed or other credentials, None for a server without authorization.
    account_id: the player's account. region: the relay region it stands in. address, port: where its map-servers listen.
    simulate: a made-up machine with made-up map-servers."""

    url: str
    host_id: str
    account_id: int
    region: str
    seed: Path | None = None
    address: str | None = None
    port: int = 6121
    simulate: bool = False
