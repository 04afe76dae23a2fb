"""What a map-server of a host is told: its configuration files, whole. Pure. Source: FACTS sections 11 and 12.

In: a map, ports, the password of the database that is none. Out: file name -> text. Names are from the directory it is started
in (tree.py); what a bundle's own conf/ says is read first, what is here wins.
"""

from dataclasses import dataclass
from typing import Final

from libs.events import MapName
from services.agent.sql.session import DATABASE, HOST, USER

AUTOSAVE_S: Final = 5
"""What a death of this host may cost (DESIGN section 7)."""
MINSAVE_MS: Final = 100
MAP_CONF: Final = "kafra/map.conf"
INTER_CONF: Final = "kafra/inter.conf"
BATTLE_CONF: Final = "kafra/battle.conf"
LOG_CONF: Final = "kafra/log.conf"
BUNDLED_CONF: Final = "conf/import/kafra_host.conf"
"""What a bundle says of the operator's game."""
PACKET_CONF: Final = "conf/packet_athena.conf"
"""The one that has no flag: its name is fixed in rAthena."""
ARGUMENTS: Final = (
    *("--map-config", MAP_CONF),
    *("--inter-config", INTER_CONF),
    *("--battle-config", BATTLE_CONF),
    *("--log-config", LOG_CONF),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One start. port: where it listens for clients, on loopback alone. link_port: what it takes for its char-server's.
    sql_port, sql_password: of the responder. user, password: what it says to the char-server; the bridge has the real ones."""

    map: MapName
    port: int
    link_port: int
    sql_port: int
    sql_password: str
    user: str = "kafra"
    password: str = "kafra"


def files(asked: Asked, *, bundled: bool) -> dict[str, str]:
    """Those that are ours alone. bundled: there is a BUNDLED_CONF."""
    return {MAP_CONF: _map(asked, bundled), INTER_CONF: _inter(asked), BATTLE_CONF: _battle(), LOG_CONF: _log()}


def packet_conf(bundled: str) -> str:
    """The bundle's, and behind it: everybody comes from this machine itself, so that a rule against one address with many
    connections would keep the players out."""
    return f"{bundled.rstrip()}\n\nenable_ip_rules: no\n"


def _map(asked: Asked, bundled: bool) -> str:
    return _lines(
        "db_path: db",
        "motd_txt: conf/motd.txt",
        "charhelp_txt: conf/charhelp.txt",
        "channel_conf: conf/channels.conf",
        *([f"import: {BUNDLED_CONF}"] if bundled else []),
        f"userid: {asked.user}",
        f"passwd: {asked.password}",
        f"char_ip: {HOST}",
        f"char_port: {asked.link_port}",
        f"bind_ip: {HOST}",
        f"map_ip: {HOST}",
        f"map_port: {asked.port}",
        f"autosave_time: {AUTOSAVE_S}",
        f"minsave_time: {MINSAVE_MS}",
        "save_settings: 4095",
        "stdout_with_ansisequence: no",
        "console_msg_log: 0",
        "console_silent: 0",
        "console: off",
        "enable_spy: no",
        "use_grf: no",
        "delmap: all",
        f"map: {asked.map}",
    )


def _inter(asked: Asked) -> str:
    databases = []
    for name in ("map_server", "log_db"):
        databases += [f"{name}_ip: {HOST}", f"{name}_port: {asked.sql_port}", f"{name}_id: {USER}"]
        databases += [f"{name}_pw: {asked.sql_password}", f"{name}_db: {DATABASE}"]
    return _lines("import: conf/inter_athena.conf", *databases, "use_sql_db: no")


def _battle() -> str:
    return _lines("import: conf/battle_athena.conf", "prevent_logout: 0")


def _log() -> str:
    """Nothing is logged to a database; where it would be, the tables are not there."""
    off = (
        "enable_logs",
        "log_branch",
        "log_zeny",
        "log_cash",
        "log_commands",
        "log_npc",
        "log_chat",
        "log_mvpdrop",
        "log_feeding",
    )
    return _lines("sql_logs: yes", *(f"{name}: 0" for name in off))


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in ("// Made by kafra agent at each start.", *lines))
