"""The main job against Debian's redis-server: over TCP with a password, and over TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paths import MODULES
from warm_kernels import WarmKernels

from playground_ext.bus.connection import Connection
from playground_ext.errors import ServerUnreachable

PROGRAM = shutil.which("redis-server")
REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="redis-server is not installed (Debian: apt-get install redis-server)"
)


@dataclass(frozen=True)
class Redis:
    """A running redis-server."""

    port: int
    password: str
    authority: Path | None  # the certificate that signed the server's, for TLS

    @property
    def url(self) -> str:
        if self.authority is None:
            return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return f"rediss://:{self.password}@127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"


@contextmanager
def running(folder: Path, *, tls: bool) -> Iterator[Redis]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = secrets.token_hex(16)
    lines = [f"requirepass {password}", "bind 127.0.0.1", 'save ""', "appendonly no", f"dir {folder}"]
    authority = None
    if tls:
        authority, certificate, key = make_certificates(folder)
        lines += ["port 0", f"tls-port {port}", f"tls-cert-file {certificate}", f"tls-key-file {key}"]
        lines += [f"tls-ca-cert-file {authority}", "tls-auth-clients no"]
    else:
        lines.append(f"port {port}")
    (folder / "redis.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([str(PROGRAM), str(folder / "redis.conf")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        yield Redis(port, password, authority)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate for 127.0.0.1 that it signed; valid for a day."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def builder(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )

    authority = (
        builder(authority_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False),  # signs certificates
            critical=True,
        )
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    paths = folder / "authority.pem", folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Redis]]:
    with ExitStack() as stack:
        yield lambda tls: stack.enter_context(running(tmp_path, tls=tls))


def run_main_job(url: str, folder: Path, cache: Path, warm_kernels: WarmKernels) -> tuple[int, str]:
    """`playground run fed_avg`, two rounds on few digits."""
    runtime = Path(tempfile.mkdtemp(prefix="pgt", dir="/tmp"))  # tmp_path is too long for sockets
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYGROUND_")}
    environment |= {"PLAYGROUND_REDIS_URL": url, "PLAYGROUND_RUNTIME": str(runtime), "PLAYGROUND_CACHE": str(cache)}
    environment |= {"PYTHONPATH": MODULES, "IPYTHONDIR": str(folder / "ipython"), "MPLBACKEND": "template"}
    command = [sys.executable, "-m", "playground_ext.runner", "run", "fed_avg", "--output", str(folder / "results")]
    command += ["-p", "max_rounds=2", "-p", "samples=200"]
    warm_kernels.lend(runtime, environment)
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=170,
        )
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["password over TCP", "TLS"])
def test_the_main_job_runs(start, tmp_path, session_cache, warm_kernels, tls):
    redis = start(tls)

    code, output = run_main_job(redis.url, tmp_path, session_cache, warm_kernels)

    assert code == 0, output
    summary = json.loads((tmp_path / "results" / "summary.json").read_text())
    assert summary["status"] == "ok"
    assert [party["status"] for party in summary["parties"]] == ["ok", "ok", "ok"]
    assert (summary["server"] == "embedded") is False
    written = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert (tmp_path / "results" / "model.safetensors") in written
    telling = [path.name for path in written if redis.password.encode() in path.read_bytes()]
    assert telling == [], "the password stands in no file of the run"
    assert redis.password not in output
    with Connection(redis.url) as connection:
        assert connection.client.dbsize() > 0, "they met here"


@pytest.mark.parametrize("tls", [False, True], ids=["password over TCP", "TLS"])
def test_large_payloads_arrive_as_they_were_sent(start, tls):
    pieces = [os.urandom(3_000_001), os.urandom(9_000_000)]
    with Connection(start(tls).url) as connection:
        connection.store([("a", [memoryview(pieces[0])]), ("b", [pieces[1][:7], memoryview(pieces[1])[7:]])])
        into = bytearray(sum(map(len, pieces)))
        connection.fetch(["a", "b"], memoryview(into))

    assert into == b"".join(pieces)


def test_a_wrong_password_is_said_without_showing_it(start):
    redis = start(False)

    with pytest.raises(ServerUnreachable, match="refuses the password") as caught:
        Connection(redis.url.replace(redis.password, "not-the-word"))

    assert "not-the-word" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(start):
    redis = start(True)

    with pytest.raises(ServerUnreachable, match="certificate"):
        Connection(redis.url.partition("?")[0])
    with pytest.raises(ServerUnreachable):
        Connection(redis.url.partition("?")[0].replace("rediss://", "redis://"))  # TLS is wanted
