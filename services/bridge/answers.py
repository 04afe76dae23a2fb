"""What the char-server answers about the link, sessions and saves. Everything else of it: `downward`."""

from collections.abc import Callable

from libs.rathena.inter_chars import AuthOk
from libs.rathena.inter_saves import SaveAck, Storage
from services.bridge.changing import Changing
from services.bridge.mux import Mux
from services.bridge.placing import Placing
from services.bridge.saves import SaveGate
from services.bridge.slot import Slot
from services.bridge.state import State
from services.bridge.strangers import Strangers


class Answers:
    def __init__(
        self,
        state: State,
        *,
        slot: Slot,
        placing: Placing,
        changing: Changing,
        gate: SaveGate,
        mux: Mux,
        strangers: Strangers,
    ) -> None:
        self._state, self._slot, self._placing, self._changing = state, slot, placing, changing
        self._gate, self._mux, self._strangers = gate, mux, strangers

    def take(self, packet: bytes) -> bool:
        """False: it is to be routed as any other packet.

        Raises:
            BadPacket: the char-server is not the stock one.
        """
        handler = _HANDLERS.get(packet[0] | packet[1] << 8)
        return handler is not None and handler(self, packet)

    def _login_ack(self, packet: bytes) -> bool:
        self._slot.on_login_ack(packet)
        return True

    def _tables(self, packet: bytes) -> bool:
        self._slot.on_tables(packet)
        return True

    def _maps_ack(self, packet: bytes) -> bool:
        self._slot.on_maps_ack(packet)
        return True

    def _auth_ok(self, packet: bytes) -> bool:
        self._mux.groups.learn(AuthOk.unpack(packet).status)
        return self._placing.on_auth_ok(packet) or self._strangers.answered(packet)

    def _auth_failed(self, packet: bytes) -> bool:
        return self._placing.on_auth_failed(packet) or self._strangers.answered(packet)

    def _disconnect(self, packet: bytes) -> bool:
        return self._placing.on_disconnect_order(packet)

    def _change_ack(self, packet: bytes) -> bool:
        return self._changing.on_change_ack(packet)

    def _save_ack(self, packet: bytes) -> bool:
        player = self._state.players.by_char.get(SaveAck.unpack(packet).char_id)
        if player is None:
            return False
        saver, player.saver = player.saver or player.owner, None
        if saver is not None and self._state.is_linked(saver):  # perhaps no more his server, but it waits for this
            self._state.down(saver, packet)
        if player.owner is not None and player.owner is saver:
            self._changing.on_saved(player)
        return True

    def _storage(self, packet: bytes) -> bool:
        loaded = Storage.unpack(packet)
        player = self._state.players.by_account.get(loaded.account_id)
        if player is not None and player.owner is not None and not player.owner.is_vps:
            self._gate.learn_storage(player, loaded)
        return False

    def _swallow(self, _packet: bytes) -> bool:
        return True


_HANDLERS: dict[int, Callable[[Answers, bytes], bool]] = {
    0x2AF9: Answers._login_ack,
    0x388C: Answers._tables,
    0x2AFB: Answers._maps_ack,
    AuthOk.packet_id: Answers._auth_ok,
    0x2B27: Answers._auth_failed,
    0x2B06: Answers._change_ack,
    0x2B1F: Answers._disconnect,
    SaveAck.packet_id: Answers._save_ack,
    Storage.packet_id: Answers._storage,
    0x2B04: Answers._swallow,
    0x2B20: Answers._swallow,
    0x2B24: Answers._swallow,
}
"""Packet id -> who handles it."""
