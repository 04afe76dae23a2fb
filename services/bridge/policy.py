"""What a map-server may say to the char-server, id by id. Default deny: an id without a row is refused.

How to read `UP`: a row holds for hosts, players' machines that are trusted with nothing. `OWN`, `CHECKED` and `SPOKEN` pass
only where the packet's key (libs/rathena/data) names a player whom this very link serves. For the VPS's map-servers see
`rule_for`: they may say everything, but nothing about a player somebody else serves, unless the row says `others`: there the
key is somebody acted upon, not who acts. Where answers go: `services.bridge.routes`. Source: DESIGN section 7; FACTS 3, 6, 7.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from services.bridge.groups import CLAN, GUILD, PARTY
from services.bridge.nodes import Node


class Rule(StrEnum):
    """What becomes of a packet.

    HANDLED: the core does what it means (link, sessions). CHECKED: own, and through the save gate, as it changes what a
    character is or has. OWN: passes for a player of this node. SPOKEN: as OWN; it carries a name or words others will see.
    ASKED: a question about something public, the answer goes to who asked. SYNTHESISED: the bridge answers, merges or
    swallows it itself. IGNORED: stock servers say it as a matter of course and need no answer. REFUSED: the VPS's alone;
    reported. PASSED: what is REFUSED or IGNORED from hosts, from the VPS.
    """

    HANDLED = "handled"
    CHECKED = "checked"
    OWN = "own"
    SPOKEN = "spoken"
    ASKED = "asked"
    SYNTHESISED = "synthesised"
    IGNORED = "ignored"
    REFUSED = "refused"
    PASSED = "passed"


class GroupAt(NamedTuple):
    """The packet names a group of this kind at this offset. A host must serve a member of it: the keyed player where there is
    one; anyone if `anyone`."""

    kind: str
    offset: int
    anyone: bool = False


class Row(NamedTuple):
    """others: on the VPS the key may be of a player somebody else serves."""

    rule: Rule
    why: str
    group: GroupAt | None = None
    others: bool = False


_HANDLED, _CHECKED, _OWN, _SPOKEN = Rule.HANDLED, Rule.CHECKED, Rule.OWN, Rule.SPOKEN
_ASKED, _MADE, _IGNORED, _REFUSED = Rule.ASKED, Rule.SYNTHESISED, Rule.IGNORED, Rule.REFUSED

UP: Final[dict[int, Row]] = {
    # -- the link, sessions
    0x2AF8: Row(_HANDLED, "one link serves all"),
    0x2AFA: Row(_HANDLED, "the union of served maps is told, never a list of one server"),
    0x2AFC: Row(_OWN, "the status changes of a player it serves"),
    0x2AFE: Row(_MADE, "the sum is told"),
    0x2AFF: Row(_HANDLED, "one server's list would unregister everybody else's players"),
    0x2B01: Row(_CHECKED, "a character: levels, EXP, zeny, position"),
    0x2B02: Row(_HANDLED, "session ids are replaced"),
    0x2B05: Row(_HANDLED, "addresses and session ids are replaced"),
    0x2B13: Row(_MADE, "the link's address is the bridge's"),
    0x2B17: Row(_MADE, "the bridge says who is gone"),
    0x2B18: Row(_HANDLED, "would end everybody's session"),
    0x2B19: Row(_REFUSED, "stock servers never say it"),
    0x2B23: Row(_MADE, "answered here; the bridge keeps its own link alive"),
    0x2B26: Row(_HANDLED, "answered with what the bridge was told"),
    # -- characters
    0x2B07: Row(_OWN, "the friends of a player it serves", others=True),
    0x2B08: Row(_ASKED, "names are public", others=True),
    0x2B0A: Row(_OWN, "cooldowns; read once, then gone"),
    0x2B0C: Row(_REFUSED, "changes an account", others=True),
    0x2B0E: Row(_REFUSED, "bans and changes accounts", others=True),
    0x2B10: Row(_REFUSED, "a public ranking"),
    0x2B11: Row(_REFUSED, "changes two characters; done in towns", others=True),
    0x2B15: Row(_CHECKED, "cooldowns of skills"),
    0x2B1A: Row(_REFUSED, "work for everybody at nobody's cost"),
    0x2B1C: Row(_CHECKED, "status changes that last"),
    0x2B28: Row(_REFUSED, "bans a character", others=True),
    0x2B2A: Row(_REFUSED, "lifts a ban", others=True),
    0x2B2D: Row(_OWN, "bonus scripts of a player it serves"),
    0x2B2E: Row(_CHECKED, "scripts that run wherever the character is"),
    # -- what everybody hears
    0x3000: Row(_REFUSED, "a voice to the whole world"),
    0x3001: Row(_SPOKEN, "a whisper in the name of a player it serves"),
    0x3002: Row(_MADE, "answers are held until one can be given for all"),
    0x3003: Row(_REFUSED, "a voice to every GM"),
    0x3004: Row(_CHECKED, "variables of character and account"),
    0x3005: Row(_OWN, "the variables of a player it serves"),
    0x3006: Row(_OWN, "a name for a pet or a homunculus"),
    0x3007: Row(_REFUSED, "a GM's question about an account", others=True),
    0x3009: Row(_SPOKEN, "the find of a player it serves"),
    0x3010: Row(_REFUSED, "nothing is known of it"),
    0x3011: Row(_REFUSED, "nothing is known of it"),
    0x3018: Row(_REFUSED, "a guild's storage"),
    0x3019: Row(_REFUSED, "a guild's storage"),
    # -- parties
    0x3020: Row(_OWN, "a party led by a player it serves"),
    0x3021: Row(_OWN, "the party of a player it serves", GroupAt(PARTY, 2)),
    0x3022: Row(_OWN, "a player it serves joins one who invited him there", GroupAt(PARTY, 4, anyone=True)),
    0x3023: Row(_REFUSED, "edits a party; nothing shows that it is the leader who asks", others=True),
    0x3024: Row(_OWN, "a player it serves leaves", GroupAt(PARTY, 2), others=True),
    0x3025: Row(_OWN, "where a player it serves is", GroupAt(PARTY, 2)),
    0x3026: Row(_REFUSED, "ends a party"),
    0x3027: Row(_SPOKEN, "words of a player it serves to his party", GroupAt(PARTY, 4)),
    0x3028: Row(_REFUSED, "nothing is known of it"),
    0x3029: Row(_REFUSED, "gives a party to another leader", others=True),
    0x302A: Row(_REFUSED, "a rule for all parties"),
    # -- guilds, castles
    0x3030: Row(_REFUSED, "makes a guild"),
    0x3031: Row(_ASKED, "the guild of a player it serves", GroupAt(GUILD, 2)),
    0x3032: Row(_REFUSED, "a member can open the guild's storage", others=True),
    0x3033: Row(_REFUSED, "gives a guild to another master"),
    0x3034: Row(_REFUSED, "edits a guild", others=True),
    0x3035: Row(_OWN, "that a player it serves is here, and of what level", GroupAt(GUILD, 2)),
    0x3036: Row(_REFUSED, "ends a guild"),
    0x3037: Row(_SPOKEN, "words of a player it serves to his guild", GroupAt(GUILD, 4)),
    0x3038: Row(_REFUSED, "nothing is known of it"),
    0x3039: Row(_REFUSED, "edits a guild"),
    0x303A: Row(_REFUSED, "edits a guild's members; its EXP", others=True),
    0x303B: Row(_REFUSED, "edits a guild"),
    0x303C: Row(_REFUSED, "edits a guild", others=True),
    0x303D: Row(_REFUSED, "edits two guilds"),
    0x303E: Row(_REFUSED, "edits a guild"),
    0x303F: Row(_REFUSED, "edits a guild"),
    0x3040: Row(_IGNORED, "asked by every server that starts; castles are never on hosts"),
    0x3041: Row(_REFUSED, "edits a castle"),
    0x3042: Row(_REFUSED, "edits a guild"),
    # -- mail, auctions
    0x3048: Row(_IGNORED, "asked for every player who enters; mail is private"),
    0x3049: Row(_REFUSED, "mail"),
    0x304A: Row(_REFUSED, "mail"),
    0x304B: Row(_REFUSED, "mail"),
    0x304C: Row(_REFUSED, "mail"),
    0x304D: Row(_REFUSED, "mail"),
    0x304E: Row(_REFUSED, "mail"),
    0x3050: Row(_REFUSED, "auctions"),
    0x3051: Row(_REFUSED, "auctions"),
    0x3052: Row(_REFUSED, "auctions"),
    0x3053: Row(_REFUSED, "auctions"),
    0x3055: Row(_REFUSED, "auctions"),
    0x3056: Row(_REFUSED, "takes a guild's items back from a character", others=True),
    # -- quests, achievements
    0x3060: Row(_OWN, "the quests of a player it serves"),
    0x3061: Row(_CHECKED, "quests; what is missing is deleted"),
    0x3062: Row(_OWN, "the achievements of a player it serves"),
    0x3063: Row(_CHECKED, "achievements"),
    0x3064: Row(_CHECKED, "an item, by mail"),
    # -- companions
    0x3070: Row(_CHECKED, "a mercenary"),
    0x3071: Row(_OWN, "the mercenary of a player it serves"),
    0x3072: Row(_REFUSED, "names no owner: would delete anybody's mercenary"),
    0x3073: Row(_CHECKED, "a mercenary"),
    0x307C: Row(_CHECKED, "an elemental"),
    0x307D: Row(_OWN, "the elemental of a player it serves"),
    0x307E: Row(_REFUSED, "names no owner: would delete anybody's elemental"),
    0x307F: Row(_CHECKED, "an elemental"),
    0x3080: Row(_REFUSED, "a pet for nobody we could read"),
    0x3081: Row(_OWN, "a pet of a player it serves"),
    0x3082: Row(_CHECKED, "a pet"),
    0x3083: Row(_REFUSED, "names no owner: would delete anybody's pet"),
    0x308A: Row(_OWN, "inventory, cart and storage of a player it serves"),
    0x308B: Row(_CHECKED, "items"),
    0x3090: Row(_CHECKED, "a homunculus"),
    0x3091: Row(_OWN, "the homunculus of a player it serves"),
    0x3092: Row(_CHECKED, "a homunculus"),
    0x3093: Row(_REFUSED, "names no owner: would delete anybody's homunculus"),
    # -- clans
    0x30A0: Row(_ASKED, "the clans of this world"),
    0x30A1: Row(_SPOKEN, "words of a player it serves to his clan", GroupAt(CLAN, 4)),
    0x30A2: Row(_OWN, "one of a clan goes", GroupAt(CLAN, 2)),
    0x30A3: Row(_OWN, "one of a clan comes", GroupAt(CLAN, 2)),
}

CHECKED: Final = frozenset(packet_id for packet_id, row in UP.items() if row.rule is _CHECKED)
"""Ids for the save gate, after the fence."""
HANDLED: Final = frozenset(packet_id for packet_id, row in UP.items() if row.rule is _HANDLED)
_UNKNOWN: Final = Row(_REFUSED, "no rule for it")
_VPS_ALONE: Final = frozenset({_REFUSED, _IGNORED})


def row_of(packet_id: int) -> Row:
    """Whatever has no row is refused."""
    return UP.get(packet_id, _UNKNOWN)


def rule_for(node: Node, packet_id: int) -> Rule:
    """The rule for a packet of this map-server. HANDLED, CHECKED: the core's. All else: `Upward.take`."""
    row = UP.get(packet_id)
    if row is None:
        return _REFUSED
    return Rule.PASSED if node.is_vps and row.rule in _VPS_ALONE else row.rule
