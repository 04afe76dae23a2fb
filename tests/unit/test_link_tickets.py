"""Tickets and their keys: what is refused, and that nothing but the real one is taken."""

import base64
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.ed25519 import PrivateKey
from libs.link.keys import (
    SIGNER,
    TAKER,
    fingerprint_of,
    link_keys,
    signing_key,
    taking_context,
    verifying_key,
)
from libs.link.messages import LinkOpen
from libs.link.nonces import KEEP_MS, NAME, Nonces
from libs.link.tickets import LIFE_MS, SKEW_MS, BadTicket, Ticket, prove, proven, public_hex, sign, verify
from libs.link.tls import CERT_FILE, BadIdentity
from services.bridge.admission import Admission

NOW_MS = 1_800_000_000_000
OPERATOR, STRANGER, AGENT = (PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))
CERTIFICATE = bytes(32)


def ticket(**values: Any) -> Ticket:
    fields = {"purpose": "link", "host": "my_pc", "key": public_hex(AGENT), "nonce": bytes(16), "expires_ms": NOW_MS + LIFE_MS}
    return Ticket(**(fields | values))


def read(text: str, now_ms: int = NOW_MS, **values: Any) -> Ticket:
    asked = {"purpose": "link", "host": "my_pc", "holder": public_hex(AGENT)} | values
    return verify(text, OPERATOR.public_key(), now_ms=now_ms, **asked)


def refusal(text: str, now_ms: int = NOW_MS, **values: Any) -> BadTicket:
    with pytest.raises(BadTicket) as caught:
        read(text, now_ms, **values)
    return caught.value


def test_a_ticket_is_read_as_it_was_signed() -> None:
    assert read(sign(ticket(), OPERATOR)) == ticket()
    assert read(sign(ticket(purpose="dial", to="eu"), OPERATOR), purpose="dial", to="eu").to == "eu"


def test_a_ticket_is_short_enough_for_its_order() -> None:
    longest = ticket(purpose="dial", host="h" * 32, to="r" * 64)

    assert len(sign(longest, OPERATOR)) < 512


@pytest.mark.parametrize(
    ("given", "asked", "why", "signed"),
    [
        (sign(ticket(), STRANGER), {}, "signature", False),
        (sign(ticket(), OPERATOR), {"host": "your_pc"}, "host", True),
        (sign(ticket(), OPERATOR), {"holder": public_hex(STRANGER)}, "key", True),
        (sign(ticket(), OPERATOR), {"purpose": "dial", "to": "eu"}, "purpose", True),
        (sign(ticket(purpose="dial", to="eu"), OPERATOR), {}, "purpose", True),
        (sign(ticket(purpose="dial", to="eu"), OPERATOR), {"purpose": "dial", "to": "asia"}, "purpose", True),
        ("", {}, "signature", False),
        ("ä", {}, "unreadable", False),
        ("a b", {}, "unreadable", False),
        ("A" * 4_000, {}, "unreadable", False),
    ],
)
def test_another_ticket_is_refused(given: str, asked: dict[str, Any], why: str, signed: bool) -> None:
    refused = refusal(given, **asked)

    assert (refused.why, refused.signed) == (why, signed)


@pytest.mark.parametrize(
    ("age_ms", "why"),
    [(-SKEW_MS, None), (0, None), (LIFE_MS + SKEW_MS, None), (LIFE_MS + SKEW_MS + 1, "expired"), (-SKEW_MS - 1, "early")],
)
def test_a_ticket_holds_for_its_time_and_a_little_skew(age_ms: int, why: str | None) -> None:
    text = sign(ticket(), OPERATOR)

    if why is None:
        assert read(text, NOW_MS + age_ms) == ticket()
    else:
        assert refusal(text, NOW_MS + age_ms).why == why


def test_a_ticket_changed_in_any_byte_is_refused() -> None:
    raw = base64.urlsafe_b64decode(sign(ticket(), OPERATOR) + "==")

    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        assert refusal(base64.urlsafe_b64encode(changed).decode().rstrip("=")).why == "signature"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_text_is_a_ticket_or_another_error(text: str) -> None:
    assert not refusal(text).signed


def test_what_the_operator_signed_otherwise_is_no_ticket() -> None:
    body = msgspec.msgpack.encode(ticket())
    plain = base64.urlsafe_b64encode(OPERATOR.sign(body) + body).decode().rstrip("=")

    assert refusal(plain).why == "signature"


def test_a_proof_holds_for_its_key_ticket_and_certificate_alone() -> None:
    proof = prove(AGENT, "ticket", CERTIFICATE)

    assert proven(proof, public_hex(AGENT), "ticket", CERTIFICATE)
    assert not proven(proof, public_hex(STRANGER), "ticket", CERTIFICATE)
    assert not proven(proof, public_hex(AGENT), "another", CERTIFICATE)
    assert not proven(proof, public_hex(AGENT), "ticket", bytes([1]) * 32)
    assert not proven(b"", public_hex(AGENT), "ticket", CERTIFICATE)
    assert not proven(proof, "zz", "ticket", CERTIFICATE)


# -- used once --------------------------------------------------------------------------------------------------------------


def hello(text: str, holder: PrivateKey = AGENT, host: str = "my_pc") -> LinkOpen:
    return LinkOpen(host=host, key=public_hex(holder), ticket=text, proof=prove(holder, text, CERTIFICATE))


def admission(store: Path | None, now_ms: int = NOW_MS) -> Admission:
    return Admission(OPERATOR.public_key(), CERTIFICATE, Nonces(store, now_ms))


def refused_as(admission: Admission, hello: LinkOpen, now_ms: int = NOW_MS) -> str:
    with pytest.raises(BadTicket) as caught:
        admission.admit(hello, now_ms)
    return caught.value.why


def test_a_ticket_is_taken_once(tmp_path: Path) -> None:
    bridge = admission(tmp_path)
    bridge.admit(hello(sign(ticket(), OPERATOR)), NOW_MS)

    assert refused_as(bridge, hello(sign(ticket(), OPERATOR))) == "replayed"
    bridge.admit(hello(sign(ticket(nonce=b"another nonce .."), OPERATOR)), NOW_MS)


def test_a_ticket_is_taken_once_over_a_restart_of_the_bridge(tmp_path: Path) -> None:
    admission(tmp_path).admit(hello(sign(ticket(), OPERATOR)), NOW_MS)  # and killed: nothing is closed

    again = admission(tmp_path, NOW_MS + 5_000)

    assert refused_as(again, hello(sign(ticket(), OPERATOR)), NOW_MS + 5_000) == "replayed"
    third = admission(tmp_path, NOW_MS + 6_000)
    assert refused_as(third, hello(sign(ticket(), OPERATOR)), NOW_MS + 6_000) == "replayed"


def test_who_has_not_the_key_does_not_use_the_ticket_up() -> None:
    bridge, text = admission(None), sign(ticket(), OPERATOR)
    stolen = LinkOpen(host="my_pc", key=public_hex(AGENT), ticket=text, proof=prove(STRANGER, text, CERTIFICATE))

    assert refused_as(bridge, stolen) == "proof"
    assert refused_as(bridge, hello(text, STRANGER)) == "key"
    bridge.admit(hello(text), NOW_MS)


def test_spent_nonces_are_forgotten_when_their_tickets_have_expired(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path, NOW_MS)
    for number in range(10_000):
        assert nonces.spend(number.to_bytes(16, "big"), NOW_MS + number * 10)

    assert len(nonces) <= KEEP_MS // 10 + 4_096
    assert (tmp_path / NAME).stat().st_size <= 24 * (KEEP_MS // 10 + 4_096)
    assert not nonces.spend((9_999).to_bytes(16, "big"), NOW_MS + 100_000)
    assert len(Nonces(tmp_path, NOW_MS + 100_000 + KEEP_MS)) == 0


def test_a_record_that_was_cut_short_harms_none_before_it(tmp_path: Path) -> None:
    Nonces(tmp_path, NOW_MS).spend(bytes(16), NOW_MS)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b"half a rec")

    again = Nonces(tmp_path, NOW_MS)

    assert not again.spend(bytes(16), NOW_MS)
    assert again.spend(bytes([1]) * 16, NOW_MS)
    assert len(Nonces(tmp_path, NOW_MS)) == 2


def test_what_cannot_be_remembered_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, where a directory should be")

    bridge = admission(tmp_path / "store")

    assert refused_as(bridge, hello(sign(ticket(), OPERATOR))) == "unremembered"


# -- keys -------------------------------------------------------------------------------------------------------------------


def test_the_keys_are_made_once_and_belong_together(tmp_path: Path) -> None:
    made = link_keys(tmp_path)
    text = sign(ticket(), signing_key(made[SIGNER]))

    assert link_keys(tmp_path) == made
    assert (
        verify(text, verifying_key(made[TAKER]), purpose="link", host="my_pc", holder=public_hex(AGENT), now_ms=NOW_MS)
        == ticket()
    )
    assert fingerprint_of(made[SIGNER] / "bridge.pem") == fingerprint_of(made[TAKER] / CERT_FILE)
    taking_context(made[TAKER])
    assert sorted(path.name for path in made[SIGNER].iterdir()) == ["bridge.pem", "tickets.key"]
    assert sorted(path.name for path in made[TAKER].iterdir()) == ["cert.pem", "key.pem", "tickets.pub"]
    for place in made.values():
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in place.iterdir())


@pytest.mark.parametrize("content", [None, "nonsense", "wrong kind"])
def test_a_file_that_is_no_key_is_said_so(tmp_path: Path, content: str | None) -> None:
    made = link_keys(tmp_path)
    for path in (made[SIGNER] / "tickets.key", made[TAKER] / "tickets.pub", made[SIGNER] / "bridge.pem"):
        if content is None:
            path.unlink()
        else:
            path.write_text(content if content == "nonsense" else (made[TAKER] / "key.pem").read_text())

    with pytest.raises(BadIdentity, match=r"tickets\.key"):
        signing_key(made[SIGNER])
    with pytest.raises(BadIdentity, match=r"tickets\.pub"):
        verifying_key(made[TAKER])
    with pytest.raises(BadIdentity, match=r"bridge\.pem"):
        fingerprint_of(made[SIGNER] / "bridge.pem")
