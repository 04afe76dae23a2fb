"""python -m bench.prove [--only NAME] [--json] [--quick]: the full counts and the milliseconds, as one table.

Exit code 0: every row holds; 1: one does not, or could not be measured; 130: broken off, the table has what was proved until
then. What is proved: bench/rows.py.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.machine import machine
from bench.rows import ROWS, Proof, Row, Scale

EXIT_BROKEN_OFF = 130


def main() -> int:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m bench.prove", description="The full counts and the milliseconds.")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout instead of the table")
    parser.add_argument("--quick", action="store_true", help="a taste of each row, to see that it runs; proves nothing")
    given = parser.parse_args()
    rows = [row for row in ROWS if given.only is None or row.name in given.only]
    on = machine()
    proofs: list[Proof] = []
    broken_off = False
    try:
        asyncio.run(prove(rows, given.quick, proofs))
    except KeyboardInterrupt:
        broken_off = True
    if given.json:
        print(json.dumps(document(on, proofs, given.quick), indent=2))
    else:
        Console().print(proof_table(on, proofs, given.quick))
        for proof in failures(proofs):
            Console(stderr=True).print(f"\n[bold]{proof.what}[/bold]\n", proof.note, markup=True, highlight=False)
    if broken_off:
        return EXIT_BROKEN_OFF
    return 1 if failures(proofs) else 0


async def prove(rows: list[Row], quick: bool, proofs: list[Proof]) -> None:
    """All, one after the other: each wants the machine for itself. What is proved is added to `proofs`, and said at once."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[at]}", style="dim"), console=Console(stderr=True)) as progress:
        task = progress.add_task("proving", total=len(rows), at="")
        for row in rows:
            progress.update(task, description=row.what, at="")
            for proof in await _prove(row, Scale(quick, lambda at: progress.update(task, at=at))):
                proofs.append(proof)
                verdict = "ok" if proof.ok else "MISSED"
                progress.console.print(f"{verdict}: {proof.what}: {proof.measured}", markup=False, highlight=False)
            progress.advance(task)


async def _prove(row: Row, scale: Scale) -> list[Proof]:
    try:
        return await row.prove(scale)
    except (TimeoutError, OSError, ValueError, LookupError) as error:
        return [Proof(row.what, "is measured", f"could not be measured: {type(error).__name__}", False, str(error))]


def failures(proofs: list[Proof]) -> list[Proof]:
    return [proof for proof in proofs if not proof.ok]


def document(on: dict[str, Any], proofs: list[Proof], quick: bool) -> dict[str, Any]:
    return {"machine": on, "quick": quick, "ok": not failures(proofs), "rows": [asdict(proof) for proof in proofs]}


def proof_table(on: dict[str, Any], proofs: list[Proof], quick: bool) -> Table:
    table = Table(title="a taste, not a proof" if quick else "proof", caption=", ".join(f"{key} {on[key]}" for key in on))
    for column in ("what", "target", "measured", ""):
        table.add_column(column, overflow="fold")
    for proof in proofs:
        table.add_row(proof.what, proof.target, proof.measured, "[green]ok[/green]" if proof.ok else "[red]MISSED[/red]")
    return table


if __name__ == "__main__":
    sys.exit(main())
