"""The twin char-server on who is where: entering, changing the server, leaving. Source: FACTS 2, 5, 6."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from libs.rathena import inter
from libs.rathena.values import cut
from tests.rathena.twin.store import LOST, Node

if TYPE_CHECKING:
    from tests.rathena.twin.char_core import CharCore, Slot

Handler = Callable[["CharCore", "Slot", bytes], None]
LOGGED_IN_ELSEWHERE: Final = 2


def on_auth(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """2b26: the node serves once."""
    asked = inter.AuthRequest.unpack(packet)
    node, record = core.store.nodes.get(asked.account_id), core.store.chars.get(asked.char_id)
    if record is None or node is None or (node.char_id, node.login_id1) != (asked.char_id, asked.login_id1):
        core.note("auth_failed", {"account": asked.account_id})
        refused = inter.AuthFailed(
            account_id=asked.account_id,
            char_id=asked.char_id,
            login_id1=asked.login_id1,
            sex=asked.sex,
            client_ip=asked.client_ip,
        )
        core.out.send(slot.link, refused)
        return
    del core.store.nodes[asked.account_id]
    set_online(core, slot, asked.account_id, asked.char_id)
    slot.users += 1
    answer = inter.AuthOk(
        account_id=asked.account_id,
        login_id1=node.login_id1,
        login_id2=node.login_id2,
        expiration=0,
        group_id=record.person.group_id,
        changing_map_servers=node.changing,
        status=record.status,
    )
    core.out.send(slot.link, answer)


def set_online(core: "CharCore", slot: "Slot", account_id: int, char_id: int) -> None:
    """A slot that claims somebody else's player costs the other slot that player."""
    before = core.slot_number(core.store.online.get(char_id))
    if before is not None and before is not slot:
        core.out.send(before.link, inter.DisconnectPlayer(account_id=account_id, reason=LOGGED_IN_ELSEWHERE))
    core.store.online[char_id] = slot.number


def set_offline(core: "CharCore", char_id: int) -> None:
    at = core.slot_number(core.store.online.pop(char_id, None))
    if at is not None and at.users > 0:
        at.users -= 1
    if record := core.store.chars.get(char_id):
        record.read()


def on_registered_users(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """2aff: all of the slot are lost, those listed are restored."""
    listed = inter.RegisterUsers.unpack(packet)
    slot.users = listed.count
    for char_id in core.on_slot(slot):
        core.store.online[char_id] = LOST
    for account_id, char_id in listed.pairs:
        set_online(core, slot, account_id, char_id)


def on_change_server(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """2b05: the place must be one a slot registered; the position is the packet's."""
    asked = inter.ChangeMapServer.unpack(packet)
    target = next((s for s in core.slots.values() if (s.ip, s.port) == (asked.dest_ip, asked.dest_port)), None)
    record = core.store.chars.get(asked.char_id)
    accepted = target is not None and record is not None and cut(asked.map) in target.maps
    if accepted and target is not None and record is not None:
        record.place(asked.map, asked.x, asked.y)
        node = Node(asked.account_id, asked.char_id, asked.login_id1, asked.login_id2, changing=1)
        core.store.nodes[asked.account_id] = node
        core.store.online[asked.char_id] = target.number
    else:
        core.note("change_refused", {"account": asked.account_id, "map": cut(asked.map).decode("latin-1")})
    answer = inter.ChangeMapServerAck(
        account_id=asked.account_id,
        char_id=asked.char_id,
        login_id1=asked.login_id1 if accepted else 0,
        login_id2=asked.login_id2,
        map=asked.map,
        x=asked.x,
        y=asked.y,
        dest_ip=asked.dest_ip,
        dest_port=asked.dest_port,
    )
    core.out.send(slot.link, answer)


def on_char_select(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    """2b02: a node without a character, and at no slot any more."""
    asked = inter.CharSelectRequest.unpack(packet)
    core.store.nodes[asked.account_id] = Node(asked.account_id, 0, asked.login_id1, asked.login_id2)
    set_offline(core, core.store.char_of.get(asked.account_id, 0))
    core.out.send(slot.link, inter.CharSelectAck(account_id=asked.account_id))


def on_offline(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    set_offline(core, inter.CharOffline.unpack(packet).char_id)


def on_all_offline(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    for char_id in core.on_slot(slot):
        set_offline(core, char_id)


def on_search_name(core: "CharCore", slot: "Slot", packet: bytes) -> None:
    char_id = inter.SearchCharName.unpack(packet).char_id
    record = core.store.chars.get(char_id)
    core.out.send(slot.link, inter.CharName(char_id=char_id, name=record.person.name if record else b"Unknown"))


HANDLERS: Final[dict[int, Handler]] = {
    0x2B26: on_auth,
    0x2AFF: on_registered_users,
    0x2B05: on_change_server,
    0x2B02: on_char_select,
    0x2B17: on_offline,
    0x2B18: on_all_offline,
    0x2B08: on_search_name,
}
