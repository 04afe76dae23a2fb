"""How commands speak: tables for people, JSON for machines, one line for an error, and the exit code the design promises."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from libs.bus.errors import AuthorizationFailed, BusError, BusUnavailable, ServerFailed
from libs.config import ConfigError

DONE, FINDING, USAGE, NO_ANSWER = 0, 1, 2, 3
P = ParamSpec("P")
R = TypeVar("R")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def end(code: int, message: str = "") -> NoReturn:
    """End the command; the message goes to stderr."""
    if message:
        err.print(message, style="red" if code else None, markup=False, soft_wrap=True)
    raise typer.Exit(code)


def says_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Operating errors as one line and an exit code; a user never sees a stack trace for them."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            end(FINDING, str(error))
        except ServerFailed as error:
            end(FINDING, str(error))
        except (BusUnavailable, AuthorizationFailed) as error:
            end(NO_ANSWER, f"{error}\nIs `kafra up` running? Another system: --nats nats://HOST:PORT")
        except (BusError, TimeoutError) as error:
            end(FINDING, str(error))
        except BrokenPipeError:
            sys.stderr.close()
            raise typer.Exit(DONE) from None
        except OSError as error:
            end(FINDING, f"{error.filename}: {error.strerror}" if error.filename else str(error))

    return wrapped


def print_json(value: Any) -> None:
    """One JSON value, on its own lines for people with jq."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=_plain) + "\n")


def print_json_line(value: Any) -> None:
    """One line of a sequence."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain) + "\n")
    sys.stdout.flush()


def table(title: str, columns: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[object]]) -> Table:
    """columns: names, or (name, "right")."""
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "left")
        made.add_column(name, justify="right" if justify == "right" else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
