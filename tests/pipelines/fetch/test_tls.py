import contextlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import aiohttp.connector
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipelines.fetch.stages import FetchImages
from schemas.dataset import Fetch

DAY = timedelta(days=1)
HERE = [x509.IPAddress(ip_address("127.0.0.1"))]


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(signer, key, subject, names, ended=DAY, is_ca=False):
    """Return a certificate for the key, signed by (name, key)."""
    issuer, signing_key = signer
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(named(issuer), named(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 9 * DAY)
        .not_valid_after(now + ended)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signing_key, hashes.SHA256())
    )


@contextlib.contextmanager
def serving(folder, signed, key, answer):
    """Serve one answer over TLS, again and again; give the URL."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(signed.public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                    tls.recv(65_536)
                    tls.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/a.jpg"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def authority():
    """Name and key of an authority that this process trusts as it does those of the system."""
    key = ec.generate_private_key(ec.SECP256R1())
    signed = certificate(("authority", key), key, "authority", [x509.DNSName("ca")], is_ca=True)
    aiohttp.connector._SSL_CONTEXT_VERIFIED.load_verify_locations(
        cadata=signed.public_bytes(Encoding.PEM).decode()
    )
    return "authority", key


@pytest.mark.parametrize(
    ("signer", "names", "ended", "expected"),
    [
        pytest.param("authority", HERE, DAY, "ok", id="as-it-should-be"),
        pytest.param("itself", HERE, DAY, "transient/tls", id="self-signed"),
        pytest.param("authority", [x509.DNSName("other.example")], DAY, "transient/tls", id="wrong-name"),
        pytest.param("authority", HERE, -DAY, "transient/tls", id="expired"),
    ],
)
def test_certificates_are_verified(authority, server, asking, tmp_path, signer, names, ended, expected):
    """A picture comes over TLS only from the host that it was asked of."""
    key = ec.generate_private_key(ec.SECP256R1())
    by = authority if signer == "authority" else ("server", key)
    body = server.files["plain.jpg"][0]
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    work = FetchImages(Fetch(timeout_s=5, retries=0, allow_private_hosts=True)).open()
    with serving(tmp_path, certificate(by, key, "server", names, ended), key, answer) as url:
        batch = work(asking(url))
    work.close()

    assert expected == f"{batch['outcome'][0]}/{batch['reason'][0]}".rstrip("/")
