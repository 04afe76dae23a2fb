"""rathena layout, rathena check: an operator's own rAthena, made ready for Kafra."""

import os
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from libs.config import load
from libs.rathena.conf import BadConf
from libs.rathena.elf import NEEDED, NoLayout, layout_of
from libs.rathena.layout import Layout, shipped
from services.ops.commands.options import AsJson, ConfigFile
from services.ops.console import DONE, FINDING, end, err, out, print_json, says_errors, table
from services.ops.rathena.finding import KAFRA_CONF, ORDER, Finding
from services.ops.rathena.ours import Ours, foreign, found, ours, start_line
from services.ops.rathena.tree import CORE_CONF, FALLBACK_CONF, NoTree, Tree

rathena_group = typer.Typer(help="Your own rAthena server, made ready for Kafra.", no_args_is_help=True)
STYLES = {"must": "red", "should": "yellow", "ok": "dim"}


@rathena_group.command()
@says_errors
def layout(
    binary: Annotated[Path, typer.Argument(metavar="MAP_SERVER_BINARY", help="Your map-server program, not stripped.")],
    out_file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the layout here.")] = None,
    name: Annotated[str | None, typer.Option(help="What messages call it; default: the program's path.")] = None,
    as_json: AsJson = False,
) -> None:
    """How your build of rAthena lays out what its servers send; bridge.layout needs it where it is not as shipped.

    Example: kafra rathena layout ~/rathena/map-server --out layout.json
    """
    if not binary.is_file():
        end(FINDING, f"{binary}: no such file. The map-server lies in rAthena's own directory once it is built: make server")
    try:
        with err.status(f"reading {binary} ..."), binary.open("rb") as file:
            made = layout_of(file, name=(name or str(binary.absolute()))[:200])
    except NoLayout as error:
        end(FINDING, f"{binary}: {error}")
    if out_file is not None:
        out_file.write_bytes(made.to_json())
    different = _different(made)
    if as_json:
        return print_json(
            {"name": made.name, "same_as_shipped": not different, "out": out_file, "structs": _sizes(made, different)}
        )
    rows = [(row["struct"], row["shipped"], row["here"], row["fields"]) for row in _sizes(made, different)]
    out.print(table("", ("struct", ("shipped", "right"), ("here", "right"), "fields"), rows))
    out.print(f"shipped: {shipped().name}", style="dim", markup=False)
    out.print(_to_do(different, out_file), markup=False, soft_wrap=True)
    return None


def _different(made: Layout) -> list[str]:
    """The structs that are not as shipped, those which are missing with them."""
    known = shipped().structs
    return sorted(name for name in known.keys() | made.structs.keys() if known.get(name) != made.structs.get(name))


def _sizes(made: Layout, different: list[str]) -> list[dict[str, Any]]:
    """Those every save needs, and those that differ. Sizes in bytes."""
    known, here = shipped().structs, made.structs
    return [
        {
            "struct": name,
            "shipped": known[name].size if name in known else None,
            "here": here[name].size if name in here else None,
            "fields": "differ" if name in different else "same",
        }
        for name in sorted(NEEDED | set(different))
    ]


def _to_do(different: list[str], out_file: Path | None) -> str:
    if not different:
        return "Same as shipped: nothing to set."
    if out_file is None:
        return "Not as shipped. Write it with --out FILE, and set bridge.layout to that file."
    return f'Not as shipped: set bridge.layout = "{out_file.absolute()}" in p2p_map_config.conf.'


@rathena_group.command("check")
@says_errors
def rathena_check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An rAthena tree, or its conf/.")],
    config: ConfigFile = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write Kafra's own files into conf/import; no other is changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What in your rAthena's configuration keeps Kafra from working, where to set it, and why. Exit code 1 if a `must` is open.

    Example: kafra rathena check ~/rathena --write
    """
    settings = load(config, os.environ)
    try:
        tree = Tree.read(directory)
        files = ours(tree, settings)
        strangers = list(foreign(files))
        written = [file for file in files if file.state in ("new", "changed")] if write and not strangers else []
        for file in written:
            file.write()
        findings = [*strangers, *found(Tree.read(directory) if written else tree, files, settings)]
    except (NoTree, BadConf) as error:
        end(FINDING, str(error))
    if config is not None:
        findings = [replace(finding, file=finding.file.replace(KAFRA_CONF, str(config))) for finding in findings]
    if as_json:
        print_json(_as_json(findings, files, written))
    else:
        _print(findings, files, written)
    raise typer.Exit(FINDING if any(finding.severity == "must" for finding in findings) else DONE)


def _as_json(findings: list[Finding], files: list[Ours], written: list[Ours]) -> dict[str, Any]:
    """Without --write, `diff` is what it would change."""
    return {
        "ok": not any(finding.severity == "must" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
        "files": [
            {"file": file.name, "state": file.state, "written": file in written, "diff": file.diff()}
            for file in files
            if file.state != "foreign"
        ],
        "start": [start_line(CORE_CONF), start_line(FALLBACK_CONF)],
    }


def _print(findings: list[Finding], files: list[Ours], written: list[Ours]) -> None:
    """Found and wanted; then, for what is open, where to set it and why; then the files."""
    shown = table("", ("", "server", "setting", "found", "should be"), [])
    for finding in findings:
        cells = (finding.severity, finding.server, finding.key, finding.found, finding.wanted)
        shown.add_row(*map(escape, cells), style=STYLES[finding.severity])
    out.print(shown)
    ours_to_do = [finding for finding in findings if finding.by_write]
    _print_reasons([finding for finding in findings if finding.severity != "ok" and not finding.by_write])
    if ours_to_do:
        out.print("\n--write puts this right:", style="bold")
        _print_reasons(ours_to_do)
    out.print(f"\n{_in_numbers(findings)}", style="bold")
    for file in files:
        if file in written:
            out.print(f"written: {file.path}", markup=False, soft_wrap=True)
        elif file.state in ("new", "changed"):
            out.print(file.diff(), markup=False, soft_wrap=True, end="")
    if all(file in written or file.state == "same" for file in files):
        out.print("Start each map-server so, from the tree's root:", style="dim")
        out.print(f"  {start_line(CORE_CONF)}\n  {start_line(FALLBACK_CONF)}", markup=False, soft_wrap=True)
    elif not any(file.state == "foreign" for file in files):
        out.print("--write writes these files, and no other.", style="dim")


def _in_numbers(findings: list[Finding]) -> str:
    count = Counter(finding.severity for finding in findings)
    by_write = Counter(finding.severity for finding in findings if finding.by_write)
    numbers = ", ".join(f"{count[severity]} {severity}" for severity in ORDER)
    if not by_write:
        return numbers
    done = " and ".join(f"{by_write[severity]} {severity}" for severity in ORDER if by_write[severity])
    return f"{numbers}: --write puts {done} right"


def _print_reasons(findings: list[Finding]) -> None:
    """File by file, as an operator goes through them; a reason several settings share once."""
    for file in dict.fromkeys(finding.file for finding in findings):
        out.print(f"\n{file}", style="bold", markup=False, soft_wrap=True)
        reasons: dict[tuple[str, str, str], list[str]] = {}
        for finding in findings:
            if finding.file == file:
                reasons.setdefault((finding.severity, finding.server, finding.why), []).append(finding.key)
        for (severity, server, why), keys in reasons.items():
            said = f"  {severity}: {server} {', '.join(keys)}: {why}"
            out.print(said, style=STYLES[severity], markup=False, soft_wrap=True)
