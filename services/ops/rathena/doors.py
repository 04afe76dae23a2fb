"""Whom the servers of a tree turn away by address: conf/packet_athena.conf and what it imports. Pure.

All players reach a map-server through the relay, so from one address, and rAthena takes many connections of one address for an
attack: as shipped the sixth of a row turns it away for ten minutes. Source: connect_check_, access_ipmask of rAthena 754c50b59.
"""

from collections.abc import Iterator
from typing import Final

from libs.config import Settings
from libs.rathena.conf import Conf, ipv4, number, switch
from services.ops.rathena.finding import Finding, judged

OWN_PACKET_CONF: Final = "conf/import/packet_conf.txt"
LOOPBACK: Final = "127.0.0.1"
ALL_BITS: Final = 0xFFFFFFFF


def check_doors(packet: Conf | None, settings: Settings) -> Iterator[Finding]:
    """packet: None where it is not there; then rAthena's own rules are on."""
    for address in sorted({_comes_from(host) for host in (settings.vps.core, settings.vps.fallback)}):
        open_ = packet is not None and _is_open(packet, {address, settings.relay.public.rpartition(":")[0]})
        yield judged(
            open_, "must", "both", "enable_ip_rules", found="open to the relay" if open_ else "on", file=OWN_PACKET_CONF,
            wanted=f"allow: {address}",
            why="all players come from the relay's address; a few at once would pass for an attack and be refused for minutes",
        )  # fmt: skip


def _comes_from(server: str) -> str:
    """The relay's address as this map-server sees it, where both are on one machine."""
    host = server.rpartition(":")[0]
    return LOOPBACK if host == "localhost" or host.startswith("127.") else host


def _is_open(packet: Conf, addresses: set[str]) -> bool:
    """To one of these, however often it comes."""
    if not switch(packet.text("enable_ip_rules", "yes")):
        return True
    order = packet.text("order").lower()
    denied_last = order != "allow,deny"
    return any(
        _names(packet, "allow", at) and not (denied_last and _names(packet, "deny", at))
        for at in map(ipv4, addresses)
        if at is not None
    )


def _names(packet: Conf, key: str, at: int) -> bool:
    return any(_covers(setting.value, at) for setting in packet.settings if setting.key == key)


def _covers(rule: str, at: int) -> bool:
    """`all`, an address, or one with a mask in bits or as an address."""
    if rule == "all":
        return True
    address, slash, given = rule.partition("/")
    base, mask = ipv4(address), ALL_BITS
    if slash:
        bits = min(number(given), 32)
        mask = m if (m := ipv4(given)) is not None else ALL_BITS << (32 - bits) & ALL_BITS
    return base is not None and base & mask == at & mask
