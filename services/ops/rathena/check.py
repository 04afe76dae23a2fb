"""What stands between an rAthena tree and Kafra: a tree and the settings in, findings out. Pure.

Why each is asked: docs/rathena.md and the `why` of the finding itself. Which maps are loaded where: `maps.py`.
"""

from collections.abc import Iterator
from typing import Final

from libs.config import Settings
from libs.rathena.conf import Conf, Subnet, ipv4, switch
from services.ops.rathena.doors import check_doors
from services.ops.rathena.finding import KAFRA_CONF, ORDER, Finding, judged
from services.ops.rathena.maps import check_maps
from services.ops.rathena.tree import (
    BATTLE_CONF,
    CHAR_CONF,
    CORE_CONF,
    FALLBACK_CONF,
    INTER_CONF,
    MAP_CONF,
    OUR_BATTLE_CONF,
    SUBNET_CONF,
    Tree,
)

CORE: Final = "core"
FALLBACK: Final = "fallback"
CHAR: Final = "char-server"
KAFRA: Final = "kafra"
ANY_HOST: Final = frozenset({"0.0.0.0", "[::]", "*"})
AUTOSAVE_S: Final = 5
"""What a death may cost a player, and what hosts have."""
CORE_AUTOSAVE_S_MAX: Final = 30
"""The core's players are not moved by deaths of hosts; what they can lose is a crash of the VPS's own."""
MINSAVE_MS: Final = 100
SAVE_ALL: Final = 4095
"""Every occasion rAthena knows: trades, storage, shops ..."""
RATHENA_AUTOSAVE_S, RATHENA_PREVENT_LOGOUT_MS = 300, 10_000
RATHENA_MAP_PORT, RATHENA_CHAR_PORT = 5121, 6121
"""What the servers take where nothing is set."""
ADDRESSES: Final = ("vps.core", "vps.fallback", "relay.public")
OWN_MAP_CONF: Final = "conf/import/map_conf.txt"
OWN_CHAR_CONF: Final = "conf/import/char_conf.txt"


def check(tree: Tree, settings: Settings) -> list[Finding]:
    """The worst first."""
    found = [*_addresses(settings), *_char(tree, settings), *_server(CORE, tree.core, settings)]
    if tree.fallback is None:
        found.append(
            Finding(
                "must", FALLBACK, "itself", "none", "a second map-server", FALLBACK_CONF,
                "it takes every map no host serves, at once: it has them all loaded",
            )
        )  # fmt: skip
    else:
        found += _server(FALLBACK, tree.fallback, settings)
    found += [_prevent_logout(tree.battle), *check_doors(tree.packet, settings), *check_maps(tree, settings)]
    found += [*_missing(tree), *_subnets(tree, settings)]
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def split(address: str) -> tuple[str, int]:
    """host, port; localhost as the number it stands for."""
    host, _, port = address.rpartition(":")
    return _host(host), int(port)


def connectable(address: str) -> tuple[str, int]:
    """The same for who connects to it from this machine."""
    host, port = split(address)
    return ("127.0.0.1" if host in ANY_HOST else host), port


def _host(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _addresses(settings: Settings) -> Iterator[Finding]:
    """Of Kafra's own configuration."""
    values = dict(zip(ADDRESSES, (settings.vps.core, settings.vps.fallback, settings.relay.public), strict=True))
    for key, value in values.items():
        same = [other for other in ADDRESSES if other != key and split(values[other]) == split(value)]
        number = ipv4(split(value)[0]) is not None
        yield judged(
            number and not same, "must", KAFRA, key, found=value, file=KAFRA_CONF,
            wanted="an address of its own" if number else "an IPv4 address",
            why=f"{same[0]} is the same; map-servers and the relay are told apart by address" if same
            else "rAthena tells clients IPv4 addresses only",
        )  # fmt: skip
    listening, port = split(settings.relay.listen)
    taken = [key for key in ADDRESSES[:2] if _collide(split(values[key]), (listening, port))]
    yield judged(
        not taken, "must", KAFRA, "relay.listen", found=settings.relay.listen, wanted="a port of its own", file=KAFRA_CONF,
        why=f"{', '.join(taken)} has that port on the same machine",
    )  # fmt: skip
    others = [settings.relay.listen, *(values[key] for key in ADDRESSES[:2])]
    if (hosts := settings.relay.hosts) and any(_collide(split(other), split(hosts)) for other in others):
        yield Finding(
            "must", KAFRA, "relay.hosts", hosts, "a port of its own", KAFRA_CONF,
            "the relay or a map-server has that port on the same machine",
        )  # fmt: skip
    if split(settings.relay.public)[0].startswith("127."):
        yield Finding(
            "should", KAFRA, "relay.public", settings.relay.public, "where players reach it", KAFRA_CONF,
            "clients on other machines cannot reach this one",
        )  # fmt: skip


def _collide(server: tuple[str, int], listening: tuple[str, int]) -> bool:
    return server[1] == listening[1] and (listening[0] in ANY_HOST or server[0] == listening[0])


def _char(tree: Tree, settings: Settings) -> Iterator[Finding]:
    char, bridge = tree.char, settings.bridge
    if char is None:
        yield Finding(
            "should",
            CHAR,
            "its conf",
            "not here",
            "the tree it is started in",
            CHAR_CONF,
            "its settings could not be looked at",
        )
        return
    yield from _login(CHAR, char, settings, KAFRA_CONF, "the char-server would refuse the bridge")
    known = (char.text("userid", "s1"), char.text("passwd", "p1")) != ("s1", "p1")
    yield judged(
        known, "should", CHAR, "userid, passwd", found="your own" if known else "rAthena's default", wanted="your own",
        file=f"{OWN_CHAR_CONF} and the login table", why="everybody knows the default; who has it can be a server of yours",
    )  # fmt: skip
    host, port = split(bridge.char_server)
    at = char.number("char_port", RATHENA_CHAR_PORT)
    yield judged(
        port == at, "must", CHAR, "char_port", found=str(at), wanted=f"bridge.char_server = {host}:{at}", file=KAFRA_CONF,
        why=f"the bridge looks for it at port {port}",
    )  # fmt: skip
    bound = _host(char.text("bind_ip", "0.0.0.0"))
    if ipv4(host) is not None:
        yield judged(
            bound in ANY_HOST or bound == host, "must", CHAR, "bind_ip", found=bound, file=KAFRA_CONF,
            wanted=f"bridge.char_server = {bound}:{at}", why=f"the bridge looks for it at {host}",
        )  # fmt: skip


def _server(name: str, conf: Conf, settings: Settings) -> Iterator[Finding]:
    """One map-server's own settings."""
    file = CORE_CONF if name == CORE else FALLBACK_CONF
    host, port = split(settings.bridge.map_servers)
    char_ip, char_port = _host(conf.text("char_ip")), conf.number("char_port", RATHENA_CHAR_PORT)
    bridge = "the bridge (bridge.map_servers) is its char-server: past it, nobody is moved"
    yield judged(
        char_ip == host or (host in ANY_HOST and bool(char_ip)), "must", name, "char_ip", found=char_ip or "not set",
        wanted=connectable(settings.bridge.map_servers)[0], file=file, why=bridge,
    )  # fmt: skip
    yield judged(char_port == port, "must", name, "char_port", found=str(char_port), wanted=str(port), file=file, why=bridge)
    yield from _place(name, conf, settings, file)
    yield from _login(name, conf, settings, OWN_MAP_CONF, "the bridge would refuse it")
    yield from _saving(name, conf, file)
    console = switch(conf.text("console", "off"))
    yield judged(
        not console, "should", name, "console", found="on" if console else "off", wanted="off", file=file,
        why="it waits for a keyboard that a supervised server has not",
    )  # fmt: skip


def _place(name: str, conf: Conf, settings: Settings, file: str) -> Iterator[Finding]:
    """Where it listens."""
    key, value = ("vps.core", settings.vps.core) if name == CORE else ("vps.fallback", settings.vps.fallback)
    host, port = split(value)
    map_ip, map_port = _host(conf.text("map_ip")), conf.number("map_port", RATHENA_MAP_PORT)
    why = f"the bridge knows it, and the relay finds it, by {key}"
    if (map_ip, map_port) == split(settings.relay.public):
        why = "that is the relay's public address; the bridge refuses a map-server there"
    yield judged(map_ip == host, "must", name, "map_ip", found=map_ip or "not set", wanted=host, file=file, why=why)
    yield judged(map_port == port, "must", name, "map_port", found=str(map_port), wanted=str(port), file=file, why=why)
    bound = _host(conf.text("bind_ip", "0.0.0.0"))
    yield judged(
        bound == host, "should", name, "bind_ip", found=bound, wanted=host, file=file,
        why="so that nobody gets to it past the relay",
    )  # fmt: skip


def _login(name: str, conf: Conf, settings: Settings, file: str, why: str) -> Iterator[Finding]:
    """The inter-server login. What stands there is compared and never shown."""
    bridge = settings.bridge
    pairs = (("userid", bridge.userid, "s1"), ("passwd", bridge.passwd, "p1"))
    for key, wanted, default in pairs:
        same = conf.text(key, default) == wanted
        yield judged(
            same, "must", name, key, found=f"as bridge.{key}" if same else "another", wanted=f"as bridge.{key}", why=why,
            file="KAFRA__BRIDGE__PASSWD" if key == "passwd" and file == KAFRA_CONF else file,
        )  # fmt: skip


def _saving(name: str, conf: Conf, file: str) -> Iterator[Finding]:
    autosave_s = conf.number("autosave_time", RATHENA_AUTOSAVE_S)
    autosave_s = RATHENA_AUTOSAVE_S if autosave_s < 1 else autosave_s
    most = CORE_AUTOSAVE_S_MAX if name == CORE else AUTOSAVE_S
    yield judged(
        autosave_s <= most, "should", name, "autosave_time", found=f"{autosave_s} s", wanted=f"{AUTOSAVE_S}", file=file,
        why="what was since the last autosave is lost when this server dies",
    )  # fmt: skip
    minsave_ms = conf.number("minsave_time", MINSAVE_MS)
    yield judged(
        minsave_ms <= MINSAVE_MS, "should", name, "minsave_time", found=f"{minsave_ms} ms", wanted=str(MINSAVE_MS), file=file,
        why=f"one player is saved in that time: {AUTOSAVE_S * 1000 // MINSAVE_MS} in {AUTOSAVE_S} s, not more",
    )  # fmt: skip
    save = conf.number("save_settings", SAVE_ALL)
    yield judged(
        save & SAVE_ALL == SAVE_ALL, "should", name, "save_settings", found=str(save), wanted=str(SAVE_ALL), file=file,
        why="a trade or a sale that is not saved at once can be undone by a death",
    )  # fmt: skip


def _prevent_logout(battle: Conf | None) -> Finding:
    wait_ms = RATHENA_PREVENT_LOGOUT_MS if battle is None else battle.number("prevent_logout", RATHENA_PREVENT_LOGOUT_MS)
    return judged(
        wait_ms == 0, "must", "both", "prevent_logout", found=f"{wait_ms} ms", wanted="0", file=OUR_BATTLE_CONF,
        why="after a fight the final save would wait so long, and a moved map's players with it",
    )  # fmt: skip


def _missing(tree: Tree) -> Iterator[Finding]:
    """Imports of what is not there, each once; and whole files."""
    confs = (tree.own, tree.core, tree.fallback, tree.battle, tree.char, tree.inter, tree.packet)
    seen = {(missing.file, missing.line): missing for conf in confs if conf is not None for missing in conf.missing}
    for missing in seen.values():
        yield Finding(
            "should", "files", "import", missing.name, "a file that is there", f"{missing.file}:{missing.line}",
            "rAthena goes on without it; what you set there has no effect",
        )  # fmt: skip
    for name, there in ((BATTLE_CONF, tree.battle), (INTER_CONF, tree.inter)):
        if there is None:
            yield Finding("should", "files", name, "not there", "there", name, f"{MAP_CONF} has need of it")


def _subnets(tree: Tree, settings: Settings) -> Iterator[Finding]:
    """Whom the char-server sends somewhere else than to relay.public. Source: char_lan_subnetcheck."""
    public, port = split(settings.relay.public)
    listening, listening_port = split(settings.relay.listen)
    for subnet in tree.subnets or ():
        told = _dotted(subnet.map_ip)
        listens = port == listening_port and (listening in ANY_HOST or listening == told)
        yield judged(
            told == public or listens, "should", CHAR, f"subnet {_range(subnet)}", found=f"told {told}:{port}", wanted=public,
            file=f"{SUBNET_CONF}:{subnet.line}", why="the char-server says this to clients there; no relay listens at it",
        )  # fmt: skip


def _range(subnet: Subnet) -> str:
    return f"{_dotted(subnet.network)}/{_dotted(subnet.mask)}"


def _dotted(address: int) -> str:
    return ".".join(map(str, address.to_bytes(4, "big")))
