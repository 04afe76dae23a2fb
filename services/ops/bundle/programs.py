"""The map-server itself, as hosts get it: without debug information, with the libraries it wants, and for which machines.

In: the tree's directory. Out: contents. Runs `strip` and `ldd` where they are; neither changes the tree.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from libs.bundle.manifest import FILE_BYTES_MAX, Platform
from libs.rathena.elf import NoLayout, layout_of
from libs.rathena.layout import shipped
from services.ops.bundle.contents import CannotBundle, Content

LINUX_NAME, WINDOWS_NAME = "map-server", "map-server.exe"
LIBRARIES: Final = "lib"
"""Where LD_LIBRARY_PATH of a host's map-server points."""
LAYOUT_NAME: Final = "layout.json"
TOOL_TIMEOUT_S: Final = 60.0
_SYSTEM: Final = re.compile(r"(ld-linux.*|linux-vdso|lib(c|m|dl|rt|pthread|resolv|util|anl|nsl|mvec)\.so.*)")
"""What belongs to the system itself; brought along, it would fit no other kernel and loader."""
_LDD: Final = re.compile(r"^\s*(\S+) => (\S.*?)(?: \(0x[0-9a-f]+\))?$", re.MULTILINE)
_ELF_MACHINES: Final[dict[int, Platform]] = {62: "linux-x86_64", 183: "linux-aarch64"}
_PE_MACHINES: Final[dict[int, Platform]] = {0x8664: "windows-x86_64"}
_HEAD_BYTES: Final = 4096


def programs(root: Path, layout: bytes | None) -> tuple[list[Content], list[str], bytes]:
    """layout: of the structs, where the operator has set one. Returns: contents; notes for people; the map-server's bytes.

    Raises: CannotBundle, OSError.
    """
    found, notes = [], []
    named: dict[str, Path] = {name: root / name for name in (LINUX_NAME, WINDOWS_NAME) if (root / name).is_file()}
    if not named:
        raise CannotBundle(f"{root / LINUX_NAME}: no such file; build it first: make server")
    program = b""
    for name, path in named.items():
        platform = platform_of(path)
        data, note = _stripped(path) if platform.startswith("linux") else (path.read_bytes(), "")
        notes += [note] if note else []
        found.append(Content(name, data, 0o755, platform))
        program = program or data
        beside = _libraries(path, platform) if platform.startswith("linux") else _dlls(root, platform)
        found.extend(beside)
    found.append(Content(LAYOUT_NAME, _layout(named, layout, notes)))
    return found, notes, program


def platform_of(path: Path) -> Platform:
    """By the file's head. Raises: CannotBundle, OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if path.stat().st_size > FILE_BYTES_MAX:
        raise CannotBundle(f"{path}: larger than {FILE_BYTES_MAX >> 20} MiB")
    platform: Platform | None = None
    if head[:6] == b"\x7fELF\x02\x01":
        platform = _ELF_MACHINES.get(int.from_bytes(head[18:20], "little"))
    elif head[:2] == b"MZ" and (at := int.from_bytes(head[60:64], "little")) < len(head) - 6 and head[at : at + 4] == b"PE\0\0":
        platform = _PE_MACHINES.get(int.from_bytes(head[at + 4 : at + 6], "little"))
    if platform is None:
        raise CannotBundle(f"{path}: no program for {', '.join([*_ELF_MACHINES.values(), *_PE_MACHINES.values()])}")
    return platform


def mode_of(program: bytes) -> str:
    """re or pre-re: the list of scripts this build reads. Raises: CannotBundle."""
    for mode in ("pre-re", "re"):
        if f"npc/{mode}/scripts_main.conf".encode() in program:
            return mode
    raise CannotBundle("the map-server names no list of scripts: is it rAthena's?")


def _stripped(path: Path) -> tuple[bytes, str]:
    """A copy without debug information, and a note where it is not to be had."""
    if (strip := shutil.which("strip")) is None:
        return path.read_bytes(), f"{path.name}: as it is, for there is no `strip` here; with it the file is ten times smaller"
    with tempfile.TemporaryDirectory(prefix="kafra-bundle-") as folder:
        made = Path(folder) / path.name
        done = _run([strip, "--strip-all", "-o", str(made), str(path)])
        if done.returncode == 0 and made.is_file():
            return made.read_bytes(), ""
    return path.read_bytes(), f"{path.name}: as it is; `strip` says: {done.stderr.strip()[:200]}"


def _libraries(path: Path, platform: Platform) -> Iterator[Content]:
    """What it is linked with, under the names it asks for."""
    if (ldd := shutil.which("ldd")) is None:
        raise CannotBundle("there is no `ldd` here, which says what libraries the map-server wants")
    done = _run([ldd, str(path.absolute())])
    if done.returncode != 0:
        raise CannotBundle(f"{path}: `ldd` says: {(done.stderr or done.stdout).strip()[:200]}")
    for name, at in _LDD.findall(done.stdout):
        if _SYSTEM.fullmatch(name):
            continue
        if at == "not found":
            raise CannotBundle(f"{path}: its library {name} is not here, so it does not run here")
        yield Content(f"{LIBRARIES}/{name}", Path(at).read_bytes(), 0o644, platform)


def _dlls(root: Path, platform: Platform) -> Iterator[Content]:
    """On Windows they lie beside the program."""
    for path in sorted(root.glob("*.dll")):
        yield Content(path.name, path.read_bytes(), 0o644, platform)


def _layout(named: dict[str, Path], layout: bytes | None, notes: list[str]) -> bytes:
    """As the operator's bridge has it, else out of the program, else as shipped."""
    if layout is not None:
        return layout
    if LINUX_NAME in named:
        try:
            with named[LINUX_NAME].open("rb") as file:
                return layout_of(file, name="map-server").to_json()
        except NoLayout:
            notes.append("layout: as shipped; this map-server has no debug information to read another from")
    return shipped().to_json()


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Raises: CannotBundle."""
    try:
        return subprocess.run(command, capture_output=True, check=False, text=True, errors="replace", timeout=TOOL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise CannotBundle(f"`{Path(command[0]).name}` has not ended after {TOOL_TIMEOUT_S:g} s") from None
