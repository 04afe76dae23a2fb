"""kafra WORD ...: which command, and nothing else. `kafra agent` is a player's, and does without 40 MB of the others'."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["agent"]:
        from services.agent.__main__ import main as agent

        sys.exit(agent(sys.argv[2:]))
    from services.ops.cli import app

    app()


if __name__ == "__main__":
    main()
