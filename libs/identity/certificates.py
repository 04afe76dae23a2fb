"""TLS between agents and NATS: the certificate a server shows, checked before it is used; and whom a client believes.

A directory holds cert.pem (the certificate, then what leads to its authority) and key.pem, as any authority hands them out.
Called by `kafra up --tls` and libs.bus.connect.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

CERT_FILE, KEY_FILE = "cert.pem", "key.pem"
SOON = timedelta(days=14)
"""An expiry this near is said at the start."""


class BadCertificate(ValueError):
    """A file is missing, is none, does not fit the other, or its time is over. The text says which."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """names: DNS names and addresses it is for. until: when it ends, UTC."""

    certificate: Path
    key: Path
    names: tuple[str, ...]
    until: datetime

    def ends_soon(self, now: datetime) -> bool:
        return self.until - now < SOON


def server_certificate(directory: Path, now: datetime) -> ServerCertificate:
    """now: with a time zone.

    Raises:
        BadCertificate: nobody could connect with it.
    """
    from cryptography import x509  # 7 MB that an agent does without

    found = ServerCertificate(directory / CERT_FILE, directory / KEY_FILE, (), now)
    for path in (found.certificate, found.key):
        if not path.is_file():
            raise BadCertificate(f"{path}: no such file; wanted are {CERT_FILE} and {KEY_FILE}")
    try:
        first = x509.load_pem_x509_certificates(found.certificate.read_bytes())[0]
    except (ValueError, OSError) as error:
        raise BadCertificate(f"{found.certificate}: no certificate: {_one_line(error)}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.certificate, found.key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise BadCertificate(f"{found.key} does not fit {found.certificate}: {_one_line(error)}") from None
    begins, ends = first.not_valid_before_utc, first.not_valid_after_utc
    if not begins <= now < ends:
        what = f"expired {ends:%Y-%m-%d %H:%M}" if now >= ends else f"is not valid before {begins:%Y-%m-%d %H:%M}"
        raise BadCertificate(f"{found.certificate} {what} UTC; now it is {now.astimezone(UTC):%Y-%m-%d %H:%M}")
    return ServerCertificate(found.certificate, found.key, _names(first), ends)


def client_context(ca: Path | None, host: str) -> ssl.SSLContext:
    """ca: the authority to believe instead of the system's. A server on this very machine is not asked who it is: no
    certificate names 127.0.0.1, and who could listen there in its place could read its files.

    Raises:
        BadCertificate: the file cannot be used.
    """
    if ca is None and is_loopback(host):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as error:
        raise BadCertificate(f"{ca}: {_one_line(error)}") from None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(certificate: "x509.Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, alternatives.get_values_for_type(x509.IPAddress))
    return (*alternatives.get_values_for_type(x509.DNSName), *addresses)


def _one_line(error: Exception) -> str:
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return str(said).partition("\n")[0]
