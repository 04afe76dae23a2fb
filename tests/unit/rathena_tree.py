"""A small rAthena tree, made up: a game of six maps, three of which hosts may serve, a configuration for it, and what
`check` finds in it."""

from pathlib import Path

from libs.config import Settings
from services.ops.rathena.check import check
from services.ops.rathena.finding import Finding
from services.ops.rathena.ours import ours
from services.ops.rathena.tree import Tree

MAPS = ("prontera", "moc_fild01", "pay_fild03", "geffen", "pay_dun01", "izlude")
HOSTABLE = ("moc_fild01", "pay_fild03", "pay_dun01")
FILES = {
    "conf/map_athena.conf": "userid: s1\npasswd: p1\nmap_port: 5121\nconsole: off\n"
    "import: conf/maps_athena.conf\nimport: conf/import/map_conf.txt\n",
    "conf/maps_athena.conf": "".join(f"map: {name}\n" for name in MAPS),
    "conf/import/map_conf.txt": "// mine\nuserid: inter\npasswd: secret7\n",
    "conf/battle_athena.conf": "import: conf/battle/player.conf\n",
    "conf/battle/player.conf": "prevent_logout: 10000\n",
    "conf/char_athena.conf": "userid: s1\npasswd: p1\nchar_port: 6121\nimport: conf/import/char_conf.txt\n",
    "conf/import/char_conf.txt": "userid: inter\npasswd: secret7\n",
    "conf/packet_athena.conf": "enable_ip_rules: yes\norder: deny,allow\nddos_count: 5\nimport: conf/import/packet_conf.txt\n",
    "conf/import/packet_conf.txt": "allow: 127.0.0.1\n",
    "conf/inter_athena.conf": "use_sql_db: no\n",
    "conf/subnet_athena.conf": "subnet: 255.0.0.0:127.0.0.1:127.0.0.1\n",
    "db/map_index.txt": "// names\n" + "".join(f"{name}\t{at}\n" for at, name in enumerate(MAPS, 1)) + "gef_fild06\n",
}
NO_MAPS: dict[str, tuple[str, ...]] = dict.fromkeys(("field", "dungeon", "training", "instance", "guild", "quest"), ())
CONFIG = {
    "bridge": {"userid": "inter", "passwd": "secret7"},
    "relay": {"public": "203.0.113.5:5120"},
    "maps": {
        "eligible": {"field": ("moc_fild01", "pay_*"), "training": (), "instance": (), "guild": (), "quest": (), "dungeon": ()}
    },
}


def settings(**groups: dict[str, object]) -> Settings:
    """CONFIG with these keys changed, group by group."""
    names = CONFIG.keys() | groups.keys()
    return Settings.model_validate({name: {**CONFIG.get(name, {}), **groups.get(name, {})} for name in names})


def config_file(folder: Path) -> Path:
    """CONFIG as a file."""
    path = folder / "kafra.conf"
    lists = "field = [ 'moc_fild01', 'pay_*' ]; training = []; instance = []; guild = []; quest = []; dungeon = [];"
    path.write_text(
        'bridge: { userid = "inter"; passwd = "secret7"; };\nrelay: { public = "203.0.113.5:5120"; };\n'
        f"maps: {{ eligible: {{ {lists} }}; }};\n".replace("'", '"'),
        encoding="utf-8",
    )
    return path


def tree(root: Path, **changed: str) -> Path:
    """changed: contents by the file's bare name, `map_conf` for conf/import/map_conf.txt; "" leaves the file out."""
    for name, content in FILES.items():
        text = changed.pop(Path(name).stem, content)
        if text:
            put(root, name, text)
    assert not changed, f"no such file: {changed}"
    return root


def written(root: Path, wanted: Settings | None = None) -> Path:
    """With Kafra's own files in it."""
    for file in ours(Tree.read(root), wanted or settings()):
        file.write()
    return root


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))
    return path


def found(root: Path, wanted: Settings | None = None) -> list[Finding]:
    return check(Tree.read(root), wanted or settings())


def of(findings: list[Finding], server: str, key: str) -> Finding:
    (finding,) = [finding for finding in findings if (finding.server, finding.key) == (server, key)]
    return finding


def open_(findings: list[Finding], *severities: str) -> list[tuple[str, str]]:
    return [(finding.server, finding.key) for finding in findings if finding.severity in (severities or ("must", "should"))]
