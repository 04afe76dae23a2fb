"""Agents that cross the internet: TCP and websocket, encrypted or not at all. The authority is of the test's own making."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.bus.embedded import EmbeddedServer
from libs.bus.errors import AuthorizationFailed, BusUnavailable
from libs.bus.nats import NatsBus, connect
from libs.events import HostMetrics, HostOrder, Stream
from libs.identity.accounts import User
from libs.identity.certificates import BadCertificate, server_certificate
from libs.identity.keys import Kind, make_seed, public_key_of, write_secret
from libs.identity.permissions import host_permissions, inbox_prefix
from libs.link.certifying import make_authority
from tests.contract.event_examples import EXAMPLES

pytestmark = [
    pytest.mark.nats,
    pytest.mark.filterwarnings(
        "ignore:parameter 'timeout' of type 'float':DeprecationWarning"
    ),  # nats-py's own call of aiohttp
]

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Place:
    """A server for h1, which encrypts."""

    def __init__(self, directory: Path) -> None:
        self.files = make_authority(directory / "tls", ("localhost",))["localhost"]
        self.ca = self.files / "ca.pem"
        seed = make_seed(Kind.USER)
        self.seed, self.services = directory / "h1.seed", directory / "services"
        write_secret(self.seed, seed)
        write_secret(self.services, "kafra:s3cret")
        users = [User("kafra", "s3cret"), User(public_key_of(seed), permissions=host_permissions("h1"))]
        certificate = server_certificate(self.files, NOW)
        self.server = EmbeddedServer(directory / "nats", users=users, tls=certificate, websocket_port=0)

    def url(self, scheme: str) -> str:
        port = self.server.websocket_port if scheme in ("ws", "wss") else self.server.port
        return f"{scheme}://localhost:{port}"

    async def agent(self, scheme: str, ca: Path | None) -> NatsBus:
        url = self.url(scheme)
        return await connect(url, name="h1", credentials=self.seed, inbox_prefix=inbox_prefix("h1"), ca=ca, connect_timeout_s=2)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.server.start()
    yield made
    await made.server.stop()


@pytest.mark.parametrize("scheme", ["tls", "nats", "wss"])
async def test_an_agent_beats_hears_and_reconnects(place: Place, scheme: str, eventually):
    ours = await connect(place.server.url, name="ours", credentials=place.services)
    await ours.ensure_streams(1)
    h1 = await place.agent(scheme, place.ca)
    orders: list[HostOrder] = []
    await h1.hear(HostOrder, orders.append, token="h1")
    metrics, order = _example(HostMetrics), _example(HostOrder)

    h1.say(metrics)
    ours.say(order)
    await eventually(lambda: orders)
    assert [fact.event async for fact in ours.read(Stream.METRICS)] == [metrics]
    await place.server.restart()
    await eventually(lambda: h1.connected and ours.connected, 30)
    await eventually(lambda: _beats(h1, ours, metrics))
    ours.say(order)
    await eventually(lambda: len(orders) == 2)

    await h1.close()
    await ours.close()


@pytest.mark.parametrize("scheme", ["tls", "wss"])
async def test_a_server_nobody_vouches_for_is_not_believed(place: Place, tmp_path: Path, scheme: str):
    other = make_authority(tmp_path / "other", ("localhost",))["localhost"] / "ca.pem"

    with pytest.raises(BusUnavailable, match=r"(?i)certificate"):
        await place.agent(scheme, other)


async def test_a_server_of_another_name_is_not_believed(place: Place):
    with pytest.raises(BusUnavailable, match=r"(?i)certificate|mismatch"):
        await connect(
            f"tls://127.0.0.1:{place.server.port}", name="h1", credentials=place.seed, ca=place.ca, connect_timeout_s=1
        )


async def test_our_own_services_on_this_machine_need_no_authority(place: Place):
    ours = await connect(place.server.url, name="ours", credentials=place.services)

    assert place.server.url.startswith("tls://127.0.0.1:")
    assert await ours.ping(5) < 5
    await ours.close()


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_to_a_server_that_offers_no_encryption_nothing_is_said(place: Place, scheme: str):
    said: list[bytes] = []

    async def in_the_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"N","version":"2.15.1","max_payload":1048576,"nonce":"abc","auth_required":true}\r\n')
        with contextlib.suppress(OSError):
            said.append(await reader.read(1024))
        writer.close()

    async with await asyncio.start_server(in_the_clear, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        with pytest.raises(BusUnavailable, match="offers no TLS"):
            await connect(f"{scheme}://localhost:{port}", name="h1", credentials=place.seed, ca=place.ca, connect_timeout_s=1)

    assert said
    assert set(said) == {b""}


@pytest.mark.parametrize("content", [None, "", "no certificate"])
async def test_an_authority_that_cannot_be_read_is_said(place: Place, tmp_path: Path, content: str | None):
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_text(content)

    with pytest.raises(AuthorizationFailed, match=r"ca\.pem"):
        await place.agent("tls", ca)


def test_a_certificate_is_checked_before_it_is_used(tmp_path: Path):
    good = _certificate(tmp_path / "good", NOW - DAY, NOW + 100 * DAY)

    found = server_certificate(good, NOW)

    assert found.names == ("play.example.org",)
    assert not found.ends_soon(NOW)
    assert found.ends_soon(NOW + 90 * DAY)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda place: (place / "cert.pem").unlink(), "cert.pem: no such file"),
        (lambda place: (place / "key.pem").unlink(), "key.pem: no such file"),
        (lambda place: (place / "cert.pem").write_text("x"), "no certificate"),
        (lambda place: (place / "key.pem").write_text("x"), "does not fit"),
        (lambda place: (place / "key.pem").write_bytes(_key_pem(ec.generate_private_key(ec.SECP256R1()))), "does not fit"),
        (lambda place: _certificate(place, NOW - 9 * DAY, NOW - DAY), "expired"),
        (lambda place: _certificate(place, NOW + DAY, NOW + 9 * DAY), "is not valid before"),
    ],
)
def test_a_certificate_nobody_could_connect_with_is_refused(tmp_path: Path, break_it, said: str):
    place = _certificate(tmp_path, NOW - DAY, NOW + 100 * DAY)
    break_it(place)

    with pytest.raises(BadCertificate, match=said) as caught:
        server_certificate(place, NOW)

    assert "\n" not in str(caught.value)


def _certificate(place: Path, begins: datetime.datetime, ends: datetime.datetime) -> Path:
    place.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "play.example.org")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("play.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (place / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (place / "key.pem").write_bytes(_key_pem(key))
    return place


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _example(kind):
    (found,) = [event for event in EXAMPLES if isinstance(event, kind)]
    return found


async def _beats(h1: NatsBus, ours: NatsBus, metrics: HostMetrics) -> bool:
    h1.say(metrics)
    await h1.ping(5)
    try:
        return bool([fact async for fact in ours.read(Stream.METRICS)])
    except BusUnavailable:  # the stream is in memory, and made anew after a restart
        return False
