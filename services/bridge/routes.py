"""Where a packet of the char-server goes, id by id.

How to read `DOWN`: stock servers get most of it on every slot and ignore what is not theirs; here a VPS server gets what a
slot would get, a host only what concerns its own players (DESIGN D10). What has no row, or no name in libs/rathena/data, is
swallowed. Source: FACTS 6; `services.bridge.policy` has the other direction.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from services.bridge.groups import CLAN, GUILD, PARTY
from services.bridge.policy import GroupAt


class Way(StrEnum):
    """HANDLED: the core looks first; what it leaves is of a character nobody here knows, for the VPS, or for nobody. ONE_OWNER:
    to the node that serves the player of the key, or is taking him in. OWNER_ON_VPS: the same, never to a host. REQUESTER: to
    who asked (`services.bridge.asked`). ALL: every ready node. VPS: every ready one there. CONCERNED: those, and the hosts of
    the characters named. MEMBERS: those, and the hosts of the group's members in the game. WHISPER: to where the one it is for
    may be (`services.bridge.chat`). SWALLOW: nobody."""

    HANDLED = "handled"
    ONE_OWNER = "one_owner"
    OWNER_ON_VPS = "owner_on_vps"
    REQUESTER = "requester"
    ALL = "all"
    VPS = "vps"
    CONCERNED = "concerned"
    MEMBERS = "members"
    WHISPER = "whisper"
    SWALLOW = "swallow"


class Route(NamedTuple):
    """groups: of MEMBERS. chars: of CONCERNED, offsets of character ids; none: the packet's key."""

    way: Way
    why: str
    groups: tuple[GroupAt, ...] = ()
    chars: tuple[int, ...] = ()


def _party(at: int, why: str) -> Route:
    return Route(Way.MEMBERS, why, (GroupAt(PARTY, at),))


def _guild(why: str, *at: int) -> Route:
    return Route(Way.MEMBERS, why, tuple(GroupAt(GUILD, offset) for offset in at))


_HANDLED, _OWNER, _VPS_OWNER, _ASKER = Way.HANDLED, Way.ONE_OWNER, Way.OWNER_ON_VPS, Way.REQUESTER
_ALL, _VPS, _CONCERNED = Way.ALL, Way.VPS, Way.CONCERNED

_NAMELESS: Final = (
    *(0x2AF8, 0x2AFA, 0x2AFC, 0x2AFE, 0x2AFF, 0x2B01, 0x2B02, 0x2B05, 0x2B07, 0x2B08, 0x2B0A, 0x2B0C, 0x2B0E, 0x2B10, 0x2B11),
    *(0x2B15, 0x2B17, 0x2B18, 0x2B19, 0x2B1A, 0x2B1C, 0x2B23, 0x2B26, 0x2B28, 0x2B2A, 0x2B2D, 0x2B2E, 0x3856, 0x3857),
)

DOWN: Final[dict[int, Route]] = {
    # -- the link, sessions
    0x2AF9: Route(_HANDLED, "the link's login"),
    0x2AFB: Route(_HANDLED, "for the server that waits for its first"),
    0x2AFD: Route(_HANDLED, "session ids are replaced"),
    0x2B00: Route(_ALL, "how many play"),
    0x2B03: Route(_OWNER, "he may choose another character"),
    0x2B04: Route(_HANDLED, "the bridge makes its own"),
    0x2B06: Route(_HANDLED, "addresses and session ids are replaced"),
    0x2B1E: Route(Way.SWALLOW, "the link's address is the bridge's"),
    0x2B1F: Route(_OWNER, "he has to go; his server saves him"),
    0x2B20: Route(_HANDLED, "stock servers misread it"),
    0x2B21: Route(_HANDLED, "a move waits for it"),
    0x2B24: Route(_HANDLED, "the bridge's own keepalive"),
    0x2B27: Route(_HANDLED, "ends a session"),
    0x388C: Route(_HANDLED, "kept for later links"),
    # -- characters
    0x2B09: Route(_ASKER, "a name"),
    0x2B0B: Route(_OWNER, "cooldowns"),
    0x2B0D: Route(_OWNER, "his sex changed"),
    0x2B0F: Route(_VPS_OWNER, "a GM's ban is done"),
    0x2B12: Route(_CONCERNED, "both lose their rings", chars=(2, 6)),
    0x2B14: Route(_CONCERNED, "he is banned"),
    0x2B1B: Route(_ALL, "public rankings"),
    0x2B1D: Route(_OWNER, "status changes"),
    0x2B22: Route(_ALL, "public rankings"),
    0x2B25: Route(_CONCERNED, "a family ends", chars=(2, 6, 10)),
    0x2B2B: Route(_OWNER, "premium time; hosts learn no group"),
    0x2B2F: Route(_OWNER, "bonus scripts"),
    # -- what everybody hears
    0x3800: Route(_ALL, "a broadcast"),
    0x3801: Route(Way.WHISPER, "asked of those who may serve him"),
    0x3802: Route(_OWNER, "to who whispered, by name"),
    0x3803: Route(_VPS, "GMs are on the VPS"),
    0x3804: Route(_OWNER, "variables"),
    0x3806: Route(_OWNER, "a new name"),
    0x3807: Route(_ASKER, "a GM's question about an account"),
    0x3808: Route(_ASKER, "a GM's question about an account"),
    0x3809: Route(_ALL, "a find"),
    0x3818: Route(_VPS_OWNER, "a guild's storage"),
    0x3819: Route(_VPS_OWNER, "a guild's storage"),
    # -- parties
    0x3820: Route(_OWNER, "his party is made"),
    0x3821: _party(8, "a party's members; a copy goes to who asked"),
    0x3822: Route(_OWNER, "he joined"),
    0x3823: _party(2, "its rules"),
    0x3824: _party(2, "one left"),
    0x3825: _party(2, "where one is"),
    0x3826: _party(2, "it ended"),
    0x3827: _party(4, "words"),
    # -- guilds, castles
    0x3830: Route(_OWNER, "his guild is made"),
    0x3831: _guild("a guild's members", 4),
    0x3832: Route(_OWNER, "he joined"),
    0x3834: _guild("one left", 2),
    0x3835: _guild("one came or went", 2),
    0x3836: _guild("it ended", 2),
    0x3837: _guild("words", 4),
    0x3839: _guild("what it is", 4),
    0x383A: _guild("a member changed", 4),
    0x383B: _guild("its ranks", 4),
    0x383C: _guild("its skills", 2),
    0x383D: _guild("two are allied", 2, 6),
    0x383E: _guild("its notice", 2),
    0x383F: _guild("its emblem", 4),
    0x3840: Route(_ASKER, "castles, to who starts"),
    0x3841: _guild("its emblem", 2),
    0x3843: _guild("its master", 2),
    # -- mail, auctions
    0x3848: Route(_VPS_OWNER, "mail"),
    0x3849: Route(_VPS_OWNER, "mail"),
    0x384A: Route(_VPS_OWNER, "mail"),
    0x384B: Route(_VPS_OWNER, "mail"),
    0x384C: Route(_VPS_OWNER, "mail"),
    0x384D: Route(_VPS_OWNER, "mail"),
    0x384E: Route(_VPS_OWNER, "mail"),
    0x3850: Route(_VPS_OWNER, "auctions"),
    0x3851: Route(_VPS_OWNER, "auctions"),
    0x3852: Route(_VPS_OWNER, "auctions"),
    0x3853: Route(_VPS_OWNER, "auctions"),
    0x3854: Route(_VPS_OWNER, "auctions"),
    0x3855: Route(_VPS_OWNER, "auctions"),
    # -- quests, achievements
    0x3860: Route(_OWNER, "quests"),
    0x3861: Route(_OWNER, "quests are kept"),
    0x3862: Route(_OWNER, "achievements"),
    0x3863: Route(_OWNER, "achievements are kept"),
    0x3864: Route(_OWNER, "a reward is sent"),
    # -- companions; acknowledgements of a flag alone name nobody and no server waits for them
    0x3870: Route(_OWNER, "a mercenary"),
    0x3871: Route(_VPS, "a flag"),
    0x3872: Route(_VPS, "a flag"),
    0x387C: Route(_OWNER, "an elemental"),
    0x387D: Route(_VPS, "a flag"),
    0x387E: Route(_VPS, "a flag"),
    0x3880: Route(_OWNER, "a pet"),
    0x3881: Route(_OWNER, "a pet"),
    0x3882: Route(_OWNER, "a pet is kept"),
    0x3883: Route(_VPS, "a flag"),
    0x388A: Route(_OWNER, "inventory, cart, storage"),
    0x388B: Route(_OWNER, "items are kept"),
    0x3890: Route(_OWNER, "a homunculus"),
    0x3891: Route(_OWNER, "a homunculus"),
    0x3892: Route(_OWNER, "a homunculus is kept"),
    0x3893: Route(_VPS, "a flag"),
    # -- clans
    0x38A0: Route(_ASKER, "the clans of this world"),
    0x38A1: Route(Way.MEMBERS, "words", (GroupAt(CLAN, 4),)),
    0x38A2: Route(Way.MEMBERS, "how many are here", (GroupAt(CLAN, 2),)),
    **{packet_id: Route(Way.SWALLOW, "never said in this direction") for packet_id in _NAMELESS},
}

_UNKNOWN: Final = Route(Way.SWALLOW, "no route for it")


def route_of(packet_id: int) -> Route:
    """What has no row is swallowed."""
    return DOWN.get(packet_id, _UNKNOWN)
