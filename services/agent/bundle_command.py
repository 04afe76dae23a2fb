"""kafra agent bundle fetch | list: the operator's bundle on this machine, by hand.

Exit codes: 0 done, 1 refused, no room, or a wrong file, 2 usage, 3 the server does not answer.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from libs.config import ConfigError
from libs.runtime.loop import EXIT_DONE, EXIT_FINDING, EXIT_NO_ANSWER
from services.agent.bundle import Progress, fetch
from services.agent.bundle_report import BundleError, BundleRefused, Unavailable
from services.agent.bundle_store import Store, default_root
from services.agent.settings import USAGE, AgentSettings, add_flags, settings_of

EXAMPLES: Final = """Example: kafra agent bundle fetch
  kafra agent bundle fetch --bundle-url https://play.example.org/bundle --bundle-key 3317...be22
  kafra agent bundle list --json
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="kafra agent bundle",
        usage=USAGE.format("kafra agent bundle fetch|list"),
        description="The server's files that maps are run with: fetch brings the newest, list shows what is here.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("fetch", "list"))
    add_flags(parser)
    parser.add_argument("--json", action="store_true", help="one JSON value instead of words")
    given = parser.parse_args(arguments)
    try:
        settings = settings_of(parser, given)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FINDING
    store = Store(settings.bundle_store or default_root())
    try:
        return _list(store, as_json=given.json) if given.what == "list" else _fetch(parser, settings, store, as_json=given.json)
    except KeyboardInterrupt:
        return _failed("interrupted; what came is kept", as_json=given.json)
    except OSError as error:
        return _failed(f"{error.filename or store.root}: {error.strerror or error}", as_json=given.json)


def _fetch(parser: argparse.ArgumentParser, settings: AgentSettings, store: Store, *, as_json: bool) -> int:
    if settings.bundle_url is None or settings.bundle_key is None:
        parser.error("--bundle-url and --bundle-key are needed, here or in agent.toml; the server's operator has them")
    before = store.current()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    errors = Console(stderr=True)
    with Bars(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        bar = bars.add_task("", total=None)

        def tell(progress: Progress) -> None:
            bars.update(bar, description=progress.what, completed=progress.done, total=progress.total or None)

        try:
            asyncio.run(fetch(settings.bundle_url, settings.bundle_key, store, tell, settings.ca))
        except BundleRefused as refused:
            return _failed(str(refused), as_json=as_json, evidence=msgspec.to_builtins(refused.evidence))
        except BundleError as error:
            _failed(str(error), as_json=as_json)
            return EXIT_NO_ANSWER if isinstance(error, Unavailable) else EXIT_FINDING
    now = store.current()
    assert now is not None
    newest = store.versions()[0]
    said = {
        "bundle": now.id,
        "name": now.manifest.name,
        "sequence": now.manifest.sequence,
        "tree": str(now.tree),
        "before": before.id if before else None,
        "waiting": newest.id if newest.id != now.id else None,
    }
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
    elif newest.id != now.id:
        sys.stdout.write(f"{newest.id} is here; it is run once no map is served. Now: {now.id}\n")
    else:
        sys.stdout.write(f"{now.manifest.name} {now.id}{' as before' if before and before.id == now.id else ''}: {now.tree}\n")
    return EXIT_DONE


def _list(store: Store, *, as_json: bool) -> int:
    current = store.current()
    rows: list[dict[str, Any]] = [
        {
            "bundle": version.id,
            "name": version.manifest.name,
            "sequence": version.manifest.sequence,
            "created_at_ms": version.manifest.created_at_ms,
            "files": len(version.manifest.files),
            "size": sum(entry.size for entry in version.manifest.files),
            "current": current is not None and current.id == version.id,
            "tree": str(version.tree),
        }
        for version in store.versions()
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return EXIT_DONE
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in ("", "bundle", "name", "made (UTC)", "files", "MB"):
        table.add_column(column, overflow="fold", justify="right" if column in ("files", "MB") else "left")
    for row in rows:
        made = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row["created_at_ms"] / 1000))
        mark = "now" if row["current"] else ""
        table.add_row(mark, row["bundle"], row["name"], made, str(row["files"]), f"{row['size'] / 1e6:.1f}")
    out = Console(highlight=False, markup=False)
    out.print(table if rows else f"nothing in {store.root} yet: kafra agent bundle fetch")
    return EXIT_DONE


def _failed(said: str, *, as_json: bool, evidence: object = None) -> int:
    """As JSON the value is on standard output too: what asked for it reads that."""
    if as_json:
        sys.stdout.write(json.dumps({"error": said, "evidence": evidence}, indent=2) + "\n")
    else:
        sys.stderr.write(f"{said}\n")
    return EXIT_FINDING
