"""kafra agent pause [--for 2h] | resume: the player's word to the agent that runs here. It outlives the agent.

Exit codes: 0 done, 1 a wrong file, 2 usage, 3 no agent runs here.
"""

import argparse
import re
import sys
from typing import Final

from libs.runtime.loop import EXIT_DONE
from services.agent.asking import Page, asked
from services.agent.pausing import DAYS_MAX
from services.agent.status import Status

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EXAMPLES: Final = """Example: kafra agent pause
  kafra agent pause --for 2h        also 30m, 1h30m, 2d
  kafra agent resume
"""


def main(arguments: list[str]) -> int:
    """arguments: the command first."""
    command, *rest = arguments
    is_pause = command == "pause"
    what = "Hosts nothing until `kafra agent resume`: its maps move away in order." if is_pause else "Ends a pause."
    parser = argparse.ArgumentParser(
        prog=f"kafra agent {command}",
        description=what,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if is_pause:
        parser.add_argument("--for", dest="for_s", type=seconds_of, metavar="TIME", help="how long: 30m, 2h, 1h30m, 2d")
    return asked(parser, rest, _pause if is_pause else _resume)


def _pause(page: Page, given: argparse.Namespace) -> int:
    return _said(page.pause(given.for_s))


def _resume(page: Page, _: argparse.Namespace) -> int:
    return _said(page.resume())


def _said(status: Status) -> int:
    why = f": {status.pause.detail}" if status.pause is not None else ""
    sys.stdout.write(f"{status.host} {status.words}{why}\n")
    return EXIT_DONE


def seconds_of(written: str) -> int:
    """Of "2h", "1h30m".

    Raises:
        argparse.ArgumentTypeError: it is written otherwise, or longer than a year.
    """
    if not re.fullmatch(r"(\d{1,6}[smhd]){1,4}", written):
        raise argparse.ArgumentTypeError("a time, as 30m, 2h, 1h30m, 2d")
    seconds = sum(int(number) * UNITS_S[unit] for number, unit in re.findall(r"(\d+)([smhd])", written))
    if not 1 <= seconds <= DAYS_MAX * UNITS_S["d"]:
        raise argparse.ArgumentTypeError(f"1s to {DAYS_MAX}d")
    return seconds
