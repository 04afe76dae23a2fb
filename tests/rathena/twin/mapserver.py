"""The twin map-server over TCP. In a test: `twin = TwinMap(MapConfig(maps=("prontera",), char=("127.0.0.1", char.port)))`,
`await twin.start()`."""

import dataclasses
from pathlib import Path

from libs.rathena.tables import CHAR_TO_MAP, CLIENT_TO_MAP
from tests.rathena.twin.effects import Exit, Note, quiet
from tests.rathena.twin.map_core import MapConfig, MapCore
from tests.rathena.twin.player import Player
from tests.rathena.twin.shell import Shell

HOST = "127.0.0.1"


class TwinMap:
    """port: where it listens for clients. The address it tells the char-server is the config's; where that has port 0, the
    one it listens on."""

    def __init__(self, config: MapConfig, *, listen_port: int = 0, note: Note = quiet, records: Path | None = None) -> None:
        self._config, self._listen_port, self._note = config, listen_port, note
        self.core = MapCore(config, note=note)
        self.shell = Shell(self.core, CLIENT_TO_MAP, CHAR_TO_MAP, records=records)
        self.port = 0

    async def start(self) -> None:
        """Listens and dials; `linked` says when the char-server has taken it."""
        self.port = await self.shell.listen(HOST, self._listen_port)
        if not self._config.port:
            self.core = MapCore(dataclasses.replace(self._config, port=self.port), note=self._note)
            self.shell.core = self.core
        self.shell.run(self.core.start(self.shell.now_ms()))

    async def linked(self, timeout_s: float = 10.0) -> None:
        await self.shell.until(lambda: self.core.ready or self.core.ended, timeout_s)

    async def exited(self, timeout_s: float = 10.0) -> Exit:
        """How it ended. Raises: TimeoutError."""
        await self.shell.until(self.shell.exited.done, timeout_s)
        return self.shell.exited.result()

    def terminate(self) -> None:
        """As SIGTERM; then await `exited`, and `stop`."""
        self.shell.run(self.core.terminate(self.shell.now_ms()))

    def save(self, account_id: int | None = None) -> None:
        """An autosave now: of one player, or of all."""
        self.shell.run(self.core.save(account_id, self.shell.now_ms()))

    def host(self, *names: str) -> None:
        self.shell.run(self.core.host(names, self.shell.now_ms()))

    def say(self, *packets: bytes) -> None:
        """To the char-server, whatever it is."""
        self.core.say(*packets)
        self.shell.run(self.core.out.take())

    def drop(self, account_id: int) -> None:
        """The server's end of a client's connection is reset."""
        player = self.core.players.get(account_id)
        if player is not None and player.client is not None:
            self.shell.abort(player.client)

    def drop_link(self) -> None:
        """The link to the char-server is reset."""
        self.shell.abort(0)

    def player(self, account_id: int) -> Player | None:
        return self.core.players.get(account_id)

    async def stop(self) -> None:
        """As kill -9: nobody is told anything."""
        await self.shell.stop()
