"""bundle key, bundle make, bundle show, bundle serve: what hosts need to run a map-server, made, signed and handed out."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from libs.bundle.manifest import MANIFEST_NAME, BadKey, Manifest, opened, public_key, public_text, read
from libs.bundle.refusal import Refused
from libs.config import Settings, load
from libs.ed25519 import PublicKey
from libs.rathena.conf import BadConf
from services.ops.bundle.contents import CannotBundle, Content, Contents, contents
from services.ops.bundle.keys import KEY_NAME, BadKeyFile, make_key, read_key
from services.ops.bundle.making import Made, make, objects_missing, read_manifest
from services.ops.bundle.programs import mode_of, programs
from services.ops.commands.options import AsJson, ConfigFile
from services.ops.console import FINDING, end, err, out, print_json, says_errors, table
from services.ops.rathena.tree import NoTree, Tree
from services.ops.stack import default_store

bundle_group = typer.Typer(help="What hosts need to run your maps: made from your rAthena, signed.", no_args_is_help=True)
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Your signing key; default: bundle.key in Kafra's store.")
]
PLACES = {"lib": "libraries", "db": "databases", "conf": "configuration", "npc": "scripts"}
PROGRAM = "program"


@bundle_group.command()
@says_errors
def key(key_file: KeyFile = None, as_json: AsJson = False) -> None:
    """Your signing key, made once and kept; shows its public half, which players' agents are given.

    Example: kafra bundle key
    """
    path = key_file or default_key()
    try:
        made = make_key(path)
        is_new = True
    except FileExistsError:
        is_new = False
        try:
            made = read_key(path)
        except BadKeyFile as error:
            end(FINDING, str(error))
    public = public_text(made.public_key())
    if as_json:
        return print_json({"file": path, "new": is_new, "public": public})
    out.print(f"{'made' if is_new else 'there already, kept'}: {path}", markup=False, soft_wrap=True)
    if is_new:
        out.print("Keep a copy where nobody else gets it: without it hosts take no bundle of yours any more.", soft_wrap=True)
    out.print("In every player's agent.toml:", style="dim")
    out.print(f'bundle_key = "{public}"', markup=False, soft_wrap=True)
    return None


@bundle_group.command("make")
@says_errors
def make_bundle(
    directory: Annotated[Path, typer.Argument(metavar="RATHENA_DIR", help="An rAthena tree with its map-server built.")],
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where it goes: a directory of your web server.")],
    key_file: KeyFile = None,
    config: ConfigFile = None,
    name: Annotated[str, typer.Option(help="What people call it.")] = "rathena",
    as_json: AsJson = False,
) -> None:
    """What a host needs of your rAthena and nothing else: the map-server without debug information, databases, configuration
    without passwords, and the scripts of the maps that hosts may serve (maps.eligible). Signed; your tree is only read.

    Example: kafra bundle make ~/rathena --out /var/www/html/bundle
    """
    settings = load(config, os.environ)
    try:
        signing = read_key(key_file or default_key())
        with err.status("reading the tree ...") as status:
            found, files = gather(directory, settings, lambda what: status.update(f"{what} ..."))
        with _progress() as progress:
            bar = progress.add_task("packing", total=sum(len(content.data) for content in files))
            now_ms = time.time_ns() // 1_000_000
            made = make(out_dir, files, name, signing, now_ms, lambda size: progress.advance(bar, size))
    except (NoTree, BadConf, CannotBundle, BadKeyFile, Refused) as error:
        end(FINDING, str(error))
    if as_json:
        return print_json(_made_as_json(made, found, out_dir))
    for note in found.notes:
        err.print(note, style="yellow", markup=False, soft_wrap=True)
    out.print(_summary(made.manifest))
    out.print(f"maps: {', '.join(found.maps)}", markup=False, soft_wrap=True)
    out.print(f"scripts: {found.scripts_kept} of {found.scripts_kept + found.scripts_dropped} definitions")
    if made.is_new:
        out.print(f"made: {out_dir}, {_mb(made.bytes_written)} MB of it new", markup=False, soft_wrap=True)
    else:
        out.print(f"{out_dir} has these very files already: nothing to do", markup=False, soft_wrap=True)
    out.print(f'this version, for your configuration: general.hosts_bundle = "{made.manifest.version}"', soft_wrap=True)
    return None


@bundle_group.command()
@says_errors
def show(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A bundle's directory, or a manifest.")],
    key_text: Annotated[
        str | None, typer.Option("--public", metavar="KEY", help="Whose it should be; default: your signing key's.")
    ] = None,
    key_file: KeyFile = None,
    files: Annotated[bool, typer.Option("--files", help="Every file.")] = False,
    as_json: AsJson = False,
) -> None:
    """What is in a bundle, whether it is signed by you, and whether all of it is there. Exit code 1 if not.

    Example: kafra bundle show /var/www/html/bundle
    """
    at = path / MANIFEST_NAME if path.is_dir() else path
    data = read_manifest(at)
    whose = _whose(key_text, key_file)
    try:
        manifest, signed = read(data), None
        if whose is not None:
            signed = _is_signed(data, whose)
    except Refused as refused:
        end(FINDING, f"{at}: {refused}")
    missing = objects_missing(path, manifest) if path.is_dir() else []
    if as_json:
        print_json(_as_json(manifest, signed, missing, path.is_dir()))
    else:
        out.print(_files(manifest) if files else _summary(manifest))
        said = {True: "signed with this key", False: "NOT signed with this key", None: "no key to hold the signature against"}
        out.print(said[signed], style="red" if signed is False else "dim")
        for lost in missing:
            out.print(f"not there, or not whole: {lost}", style="red", markup=False)
    raise typer.Exit(FINDING if missing or signed is False else 0)


@bundle_group.command()
@says_errors
def serve(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle's directory.")],
    listen: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8080,
) -> None:
    """Hands a bundle out over HTTP, for who has no web server. What agents fetch they verify; HTTP will do.

    Example: kafra bundle serve ~/bundle --port 8080
    """
    from services.ops.bundle.serving import serve_until_stopped

    if not (directory / MANIFEST_NAME).is_file():
        end(FINDING, f"{directory}: no bundle in it; kafra bundle make RATHENA_DIR --out {directory}")
    serve_until_stopped(directory, listen, port, lambda url: out.print(f"{url}      end: Ctrl-C", markup=False))


def gather(directory: Path, settings: Settings, step: Any = lambda _: None) -> tuple[Contents, list[Content]]:
    """A tree's contents, and all files of the bundle.

    Raises: NoTree, BadConf, CannotBundle, OSError.
    """
    tree = Tree.read(directory)
    step("the map-server")
    layout = Path(settings.bridge.layout).read_bytes() if settings.bridge.layout else None
    ran, notes, program = programs(tree.place.root, layout)
    found = contents(tree, settings, mode_of(program), step)
    found.notes = [*notes, *found.notes]
    return found, [*ran, *found.files]


def default_key() -> Path:
    return default_store() / KEY_NAME


def _whose(key_text: str | None, key_file: Path | None) -> PublicKey | None:
    """Raises: BadParameter for a text that is no key."""
    if key_text is not None:
        try:
            return public_key(key_text)
        except BadKey as error:
            raise typer.BadParameter(str(error), param_hint="--public") from None
    if key_file is None and not default_key().is_file():
        return None
    try:
        return read_key(key_file or default_key()).public_key()
    except BadKeyFile as error:
        end(FINDING, str(error))


def _is_signed(data: bytes, whose: PublicKey) -> bool:
    try:
        opened(data, whose)
    except Refused:
        return False
    return True


def place_of(path: str) -> str:
    """Which part of a bundle a file is of."""
    return PLACES.get(path.partition("/")[0], PROGRAM) if "/" in path else PROGRAM


def _sums(manifest: Manifest) -> list[tuple[str, int, int, int]]:
    """(part, files, bytes, bytes packed)."""
    parts: Counter[str] = Counter()
    size: Counter[str] = Counter()
    packed: Counter[str] = Counter()
    for entry in manifest.files:
        part = place_of(entry.path)
        parts[part] += 1
        size[part] += entry.size
        packed[part] += entry.packed_size
    return [(part, parts[part], size[part], packed[part]) for part in (PROGRAM, *PLACES.values()) if parts[part]]


def _summary(manifest: Manifest) -> Any:
    sums = _sums(manifest)
    rows = [(part, files, _mb(size), _mb(packed)) for part, files, size, packed in sums]
    totals = [sum(row[at] for row in sums) for at in (1, 2, 3)]  # type: ignore[misc]
    rows.append(("all", totals[0], _mb(totals[1]), _mb(totals[2])))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(manifest.created_at_ms / 1000))
    out.print(f"{manifest.name} {manifest.version}, sequence {manifest.sequence}, made {made}", style="bold", soft_wrap=True)
    return table("", ("part", ("files", "right"), ("MB", "right"), ("MB to fetch", "right")), rows)


def _files(manifest: Manifest) -> Any:
    rows = [(entry.path, entry.size, entry.packed_size, f"{entry.mode:o}", entry.sha256[:16]) for entry in manifest.files]
    title = f"{manifest.name} {manifest.version}  sequence {manifest.sequence}"
    return table(title, ("file", ("bytes", "right"), ("to fetch", "right"), "mode", "sha256"), rows)


def _as_json(manifest: Manifest, signed: bool | None, missing: list[str], with_objects: bool) -> dict[str, Any]:
    return {
        **_head(manifest),
        "signed": signed,
        "missing": missing if with_objects else None,
        "files": [
            {"path": entry.path, "size": entry.size, "packed_size": entry.packed_size, "mode": f"{entry.mode:o}",
             "sha256": entry.sha256, "platform": entry.platform or None}
            for entry in manifest.files
        ],
    }  # fmt: skip


def _made_as_json(made: Made, found: Contents, out_dir: Path) -> dict[str, Any]:
    return {
        **_head(made.manifest),
        "out": out_dir,
        "new": made.is_new,
        "bytes_written": made.bytes_written,
        "maps": found.maps,
        "scripts": {"kept": found.scripts_kept, "dropped": found.scripts_dropped},
        "notes": found.notes,
    }


def _head(manifest: Manifest) -> dict[str, Any]:
    parts = {part: {"files": files, "size": size, "packed_size": packed} for part, files, size, packed in _sums(manifest)}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sequence": manifest.sequence,
        "created_at_ms": manifest.created_at_ms,
        "parts": parts,
    }


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
