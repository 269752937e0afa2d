"""TLS of the controller's TCP port: a certificate that commands and agents elsewhere can check.

Where the cluster file names none, the first start makes an authority of its own in the state folder's `tls`, and with
it a certificate for the names in the cluster file. Whoever dials is given the authority's certificate and trusts that
alone.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import BadValue

if TYPE_CHECKING:
    import ssl

YEARS = 10  # of the authority and of its certificate
RENEW = datetime.timedelta(days=90)  # before its end a certificate is made anew at a start
DAY = datetime.timedelta(days=1)  # clocks differ


class Identity(NamedTuple):
    """What the port shows, and what those who dial it are given."""

    context: ssl.SSLContext
    authority: str  # its certificates as one line: DER in base64


def addresses(conf: ClusterConf) -> dict[int, list[str]]:
    """{port: hosts} of the TCP ports to listen on. Raises BadValue."""
    found: dict[int, list[str]] = {}
    for key, text in (
        ("ControllerAddress", conf.controller_address),
        ("Armada.ControllerAddress", conf.armada.controller_address),
    ):
        if text:
            host, _, port = text.rpartition(":")
            if not host or not port.isdigit() or int(port) > 65535:
                raise BadValue(f"{key}: {text}: not host:port")
            found.setdefault(int(port), []).append(host.strip("[]"))
    return found


def listen_on(hosts: Iterable[str]) -> str:
    """The loopback where nothing else is named; else all addresses: a name may be a gateway's."""
    return "127.0.0.1" if all(host in ("127.0.0.1", "localhost") for host in hosts) else ""


def identity(conf: ClusterConf, state: str, hosts: Iterable[str]) -> Identity:
    """The configured certificate, or the one kept in the state folder. Raises BadValue."""
    import ssl

    if conf.tls_certificate or conf.tls_key:
        if not (conf.tls_certificate and conf.tls_key and conf.tls_authority):
            raise BadValue("TLSCertificate, TLSKey and TLSAuthority go together")
        certificate, key, authority = conf.tls_certificate, conf.tls_key, conf.tls_authority
    else:
        folder = os.path.join(state, "tls")
        names = sorted({*hosts, conf.slurmctld_host or socket.gethostname(), "localhost"})
        certificate, key, authority = made(folder, names, datetime.datetime.now(datetime.timezone.utc))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        with open(authority, encoding="ascii") as file:
            return Identity(context, one_line(file.read()))
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        raise BadValue(f"TLS: {certificate}, {key}, {authority}: {problem}") from None


def one_line(pem: str) -> str:
    """The certificates of a PEM file, for an environment variable. Raises ValueError for a file without any."""
    import ssl

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [begin + rest.partition(end)[0] + end + "\n" for rest in pem.split(begin)[1:]]
    if not blocks:
        raise ValueError("there is no certificate in TLSAuthority")
    return base64.b64encode(b"".join(map(ssl.PEM_cert_to_DER_cert, blocks))).decode()


def made(folder: str, names: list[str], now: datetime.datetime) -> tuple[str, str, str]:
    """Paths of certificate, key and authority, made where they are missing, near their end, or for other names."""
    os.makedirs(folder, mode=0o711, exist_ok=True)
    paths = {name: os.path.join(folder, name) for name in ("ca.pem", "ca.key", "server.pem", "server.key")}
    if not (os.path.exists(paths["ca.pem"]) and os.path.exists(paths["ca.key"])):
        _make_authority(paths, now)
    if not (os.path.exists(paths["server.key"]) and _serves(paths["server.pem"], names, now)):
        _make_certificate(paths, names, now)
    return paths["server.pem"], paths["server.key"], paths["ca.pem"]


def _serves(path: str, names: list[str], now: datetime.datetime) -> bool:
    from cryptography import x509

    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        there = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return list(there) == [_name(name) for name in names] and certificate.not_valid_after_utc - RENEW > now


def _name(text: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _make_authority(paths: dict[str, str], now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject("slurm-compat authority")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates, lists
    certificate = (
        _certificate(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    _keep(paths["ca.key"], paths["ca.pem"], key, certificate, key)


def _make_certificate(paths: dict[str, str], names: list[str], now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with open(paths["ca.key"], "rb") as file:
        authority_key: Any = load_pem_private_key(file.read(), None)
    with open(paths["ca.pem"], "rb") as file:
        authority = x509.load_pem_x509_certificate(file.read())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _certificate(_subject("slurm-compat controller"), authority.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )
    _keep(paths["server.key"], paths["server.pem"], key, certificate, authority_key)


def _subject(text: str) -> Any:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, text)])


def _certificate(subject: Any, issuer: Any, key: Any, now: datetime.datetime) -> Any:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + YEARS * 365 * DAY)
    )


def _keep(key_path: str, path: str, key: Any, certificate: Any, signer: Any) -> None:
    """The key first: a start cut short between the two makes both anew."""
    from cryptography.hazmat.primitives import hashes, serialization

    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(key_path, private, 0o600)
    _write(path, certificate.sign(signer, hashes.SHA256()).public_bytes(pem), 0o644)


def _write(path: str, data: bytes, mode: int) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
    os.replace(temporary, path)
