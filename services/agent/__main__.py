"""python -m services.agent, or: kafra agent [COMMAND]. Which command, and nothing else."""

import importlib
import sys
from typing import Final

from libs.version import VERSION

COMMANDS: Final = {
    "run": "services.agent.running",
    "doctor": "services.agent.doctor",
    "enroll": "services.agent.enroll",
    "bundle": "services.agent.bundle_command",
    "status": "services.agent.status_command",
    "pause": "services.agent.pause_command",
    "resume": "services.agent.pause_command",
}
"""Each a room with `main(arguments) -> exit code`; imported when it is asked for. Without a command: run."""
BY_NAME: Final = frozenset({"pause", "resume"})
"""Two commands of one room, which is told which."""


def main(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        sys.stdout.write(f"kafra {VERSION}\n")
        return 0
    command, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("run", arguments)
    if command in BY_NAME:
        rest = [command, *rest]
    exit_code: int = importlib.import_module(COMMANDS[command]).main(rest)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
