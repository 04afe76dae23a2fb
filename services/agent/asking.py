"""How the player's commands reach the agent of this machine: its page, found by the file it keeps (places.py).

In: a host's name, or none where one agent runs here. Out: what the page says. Called by status_command and pause_command.
"""

import argparse
import http.client
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.config import ConfigError
from libs.events import HostId, is_name
from libs.runtime.loop import EXIT_FINDING, EXIT_NO_ANSWER
from services.agent.places import ADDRESS, Place, Running, hosts_here
from services.agent.settings import NAME_ALLOWED, default_file, read_file
from services.agent.status import Status

TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024


class NoAgent(Exception):
    """None runs here, or it does not answer."""


class Page:
    """Of a running agent."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def status(self) -> Status:
        """Raises: NoAgent."""
        return self._status("GET", "/status")

    def pause(self, for_s: int | None) -> Status:
        """Raises: NoAgent."""
        return self._status("POST", "/pause", {"for_s": for_s})

    def resume(self) -> Status:
        """Raises: NoAgent."""
        return self._status("POST", "/resume", {})

    def address(self) -> str:
        """For a browser, soon, once. Raises: NoAgent."""
        code: dict[str, str] = msgspec.json.decode(self._ask("POST", "/code", {}))
        return f"http://{ADDRESS}:{self.running.port}/#{code['code']}"

    def _status(self, method: str, path: str, body: dict[str, Any] | None = None) -> Status:
        try:
            status = msgspec.json.decode(self._ask(method, path, body), type=Status)
        except msgspec.MsgspecError:
            raise NoAgent(f"the agent of {self.running.host} is of another version than this command") from None
        return status

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        connection = http.client.HTTPConnection(ADDRESS, self.running.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.running.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, msgspec.json.encode(body) if body is not None else None, headers)
            response = connection.getresponse()
            said = response.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise NoAgent(f"the agent of {self.running.host} does not answer: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise NoAgent(f"port {self.running.port} is not the agent of {self.running.host}, or not any more")
        return said


def page_of(host: HostId | None) -> Page:
    """
    Raises:
        NoAgent: none of this host; or, where no host is named, none at all or several.
    """
    if host is not None:
        if (running := Place(host).running()) is None:
            raise NoAgent(f"no agent of {host} runs here; start it: kafra agent")
        return Page(running)
    found = list(hosts_here())
    if not found:
        raise NoAgent("no agent runs here; start it: kafra agent")
    if len(found) > 1:
        raise NoAgent(f"several agents run here, name one with --host-id: {', '.join(one.host for one in found)}")
    return Page(found[0])


def asked(parser: argparse.ArgumentParser, arguments: list[str], ask: Callable[[Page, argparse.Namespace], int]) -> int:
    """The command: which agent, beside its own arguments. Exit code of `ask`, 1: the file is wrong, 3: no agent runs here."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="its settings; default: the usual ones")
    parser.add_argument("--host-id", metavar="HOST_ID", help="which agent, where several run here")
    given = parser.parse_args(arguments)
    if given.host_id is not None and not is_name(given.host_id):
        parser.error(f"--host-id: {NAME_ALLOWED}")
    try:
        usual = default_file()
        file = given.config or (usual if usual.is_file() else None)
        named = given.host_id or (read_file(file).get("host_id") if file is not None else None)
        return ask(page_of(HostId(str(named)) if named is not None else None), given)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDING
    except NoAgent as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NO_ANSWER
