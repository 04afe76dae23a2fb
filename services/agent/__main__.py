"""python -m services.agent, or: kafra agent [COMMAND]. Which command, and nothing else."""

import importlib
import sys
from typing import Final

COMMANDS: Final = {
    "run": "services.agent.running",
    "doctor": "services.agent.doctor",
    "enroll": "services.agent.enroll",
    "bundle": "services.agent.bundle_command",
}
"""Each a room with `main(arguments) -> exit code`; imported when it is asked for. Without a command: run."""


def main(arguments: list[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("run", arguments)
    exit_code: int = importlib.import_module(COMMANDS[command]).main(rest)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
