from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from playground_ext.bus.connection import CHUNK_BYTES, Buffer, Connection, mask_password
from playground_ext.bus.server import EmbeddedServer
from playground_ext.errors import ConfigError, ProtocolError, ServerFull, ServerUnreachable


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(max_memory=256 << 20) as running:
        yield running


@pytest.fixture
def connection(server: EmbeddedServer) -> Iterator[Connection]:
    with Connection(server.url, name="test") as opened:
        opened.client.flushall()
        yield opened


def in_chunks(payload: Buffer, chunk_bytes: int = CHUNK_BYTES) -> list[tuple[str, list[Buffer]]]:
    view = memoryview(payload)
    return [(f"k{i}", [view[start : start + chunk_bytes]]) for i, start in enumerate(range(0, len(view), chunk_bytes))]


def fetched(connection: Connection, keys: list[str], length: int) -> bytes:
    target = bytearray(length)
    connection.fetch(keys, memoryview(target))
    return bytes(target)


@pytest.mark.parametrize("length", [0, 1, 2, 1023, 1024, 65_537, CHUNK_BYTES, CHUNK_BYTES + 1, 11_000_001])
def test_what_is_stored_is_fetched(connection: Connection, length: int) -> None:
    payload = os.urandom(length)
    chunks = in_chunks(payload) or [("k0", [b""])]

    connection.store(chunks)

    assert fetched(connection, [key for key, _ in chunks], length) == payload


def test_a_value_is_the_concatenation_of_its_buffers_whatever_they_are(connection: Connection) -> None:
    floats = memoryview(os.urandom(80)).cast("f")
    grid = memoryview(bytearray(range(24))).cast("B", (4, 6))
    empty_grid = memoryview(bytearray(0)).cast("B")
    buffers: list[Buffer] = [b"head", bytearray(b"body"), floats, b"", grid, empty_grid, memoryview(b"tail")]
    expected = b"headbody" + floats.tobytes() + bytes(range(24)) + b"tail"

    connection.store([("mixed", buffers)])

    assert connection.client.get("mixed") == expected
    assert fetched(connection, ["mixed"], len(expected)) == expected


def test_thousands_of_small_pieces_and_chunks_arrive_in_order(connection: Connection) -> None:
    pieces = [bytes([i % 251]) * (i % 7) for i in range(5000)]
    expected = b"".join(pieces)

    connection.store([("pieces", pieces)])
    connection.store((f"small{i}", [piece]) for i, piece in enumerate(pieces))

    assert fetched(connection, ["pieces"], len(expected)) == expected
    assert fetched(connection, [f"small{i}" for i in range(5000)], len(expected)) == expected


def test_payloads_with_line_ends_inside_are_not_mistaken_for_replies(connection: Connection) -> None:
    payload = b"\r\n$-1\r\n-ERR\r\n+OK\r\n" * 500
    connection.store([("tricky", [payload])])

    assert fetched(connection, ["tricky", "tricky"], 2 * len(payload)) == payload * 2


def test_nothing_to_store_and_nothing_to_fetch_is_fine(connection: Connection) -> None:
    connection.store([])
    connection.fetch([], memoryview(bytearray()))
    assert connection.client.dbsize() == 0


def test_a_missing_key_is_named_and_the_connection_stays_usable(connection: Connection) -> None:
    connection.store([("there", [b"x" * 100_000])])

    with pytest.raises(ProtocolError, match="missing-chunk is not on the server"):
        connection.fetch(["there", "missing-chunk", "there"], memoryview(bytearray(300_000)))

    assert connection.client.ping()
    assert fetched(connection, ["there"], 100_000) == b"x" * 100_000


@pytest.mark.parametrize("expected", [99_999, 100_001, 0])
def test_a_payload_of_another_length_than_expected_is_refused(connection: Connection, expected: int) -> None:
    connection.store([("there", [b"x" * 100_000])])

    with pytest.raises(ProtocolError, match="100000 bytes"):
        connection.fetch(["there"], memoryview(bytearray(expected)))

    assert connection.client.get("there") == b"x" * 100_000


def test_a_key_of_another_type_is_named(connection: Connection) -> None:
    connection.client.rpush("a-list", b"1")

    with pytest.raises(ProtocolError, match=r"a-list.*WRONGTYPE"):
        connection.fetch(["a-list"], memoryview(bytearray(1)))
    assert connection.client.ping()


def test_small_commands_pipelines_and_payloads_share_one_socket(connection: Connection, server: EmbeddedServer) -> None:
    with Connection(server.url, name="counted") as other:
        other.client.set("a", b"1")
        assert other.client.pipeline().get("a").incr("a").execute() == [b"1", 2]
        other.store([("b", [b"xyz"])])
        assert fetched(other, ["b"], 3) == b"xyz"
        with other.client.pipeline() as pipeline:
            pipeline.watch("a")
            pipeline.multi()
            pipeline.set("a", b"9")
            assert pipeline.execute() == [True]
        names = [client["name"] for client in connection.client.client_list()]
    assert names.count("counted") == 1


def test_stream_replies_are_bytes(connection: Connection) -> None:
    entry = connection.client.xadd("stream", {"d": b"\xff\x00"})
    assert connection.client.xread({"stream": "0"}, block=1000) == [[b"stream", [(entry, {b"d": b"\xff\x00"})]]]
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        connection.client.xadd("stream", {"d": b"1"}, id="0-1")


def test_a_full_server_is_named_and_the_connection_stays_usable() -> None:
    with EmbeddedServer(max_memory=8 << 20) as small, Connection(small.url) as connection:
        with pytest.raises(ServerFull, match="memory limit"):
            connection.store(in_chunks(bytes(64 << 20)))
        connection.client.config_set("maxmemory", 1 << 20)  # so that even the smallest command is too much
        with pytest.raises(ServerFull, match="memory limit"):
            connection.client.xadd("stream", {"d": b"1"})
        with pytest.raises(ServerFull, match="memory limit"):
            connection.client.pipeline(transaction=False).set("a", b"1").execute()
        connection.client.config_set("maxmemory", 8 << 20)
        connection.client.flushall()
        connection.store([("after", [b"works"])])
        assert fetched(connection, ["after"], 5) == b"works"


def test_a_server_killed_in_the_middle_is_unreachable_and_back_after_reconnect() -> None:
    folder_server = EmbeddedServer(port=0, password="secret-word", max_memory=1 << 30)
    with folder_server as server:
        connection = Connection(server.url, timeout=5)
        frozen = server.pid
        os.kill(frozen, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (frozen, signal.SIGKILL)).start()

        with pytest.raises(ServerUnreachable) as caught:
            connection.store(in_chunks(bytes(64 << 20)))
        assert "secret-word" not in str(caught.value)
        with pytest.raises(ServerUnreachable):
            connection.reconnect()
        with pytest.raises(ServerUnreachable):
            connection.client.ping()
        with pytest.raises(ServerUnreachable):
            connection.client.pipeline(transaction=False).ping().execute()
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        server.stop()

    with EmbeddedServer(port=port, password="secret-word"):
        connection.reconnect()
        connection.store([("k", [b"again"])])
        assert fetched(connection, ["k"], 5) == b"again"
        connection.close()


def test_a_server_killed_while_a_payload_is_fetched_is_unreachable() -> None:
    with EmbeddedServer(max_memory=1 << 30) as server, Connection(server.url, timeout=5) as connection:
        payload = bytes(32 << 20)
        connection.store(in_chunks(payload))
        os.kill(server.pid, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (server.pid, signal.SIGKILL)).start()

        with pytest.raises(ServerUnreachable, match="no server answers at unix://"):
            connection.fetch([f"k{i}" for i in range(8)], memoryview(bytearray(32 << 20)))


@pytest.mark.parametrize("action", ["store", "fetch", "command"])
def test_a_frozen_server_is_given_up_after_the_timeout(action: str) -> None:
    actions: dict[str, Callable[[Connection], object]] = {
        "store": lambda connection: connection.store(in_chunks(bytes(16 << 20))),
        "fetch": lambda connection: connection.fetch(["k"], memoryview(bytearray(1))),
        "command": lambda connection: connection.client.ping(),
    }
    with EmbeddedServer(max_memory=1 << 30) as server, Connection(server.url, timeout=0.5) as connection:
        connection.store([("k", [b"x"])])
        os.kill(server.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(ServerUnreachable):
                actions[action](connection)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert time.monotonic() - began < 3
        connection.reconnect()
        assert connection.client.get("k") == b"x"


def test_a_server_that_was_replaced_behind_an_idle_connection_is_said_and_then_found_again() -> None:
    with EmbeddedServer(port=0, password="p") as first:
        connection = Connection(first.url)
        port = int(first.url.rpartition(":")[2].partition("/")[0])
    with EmbeddedServer(port=port, password="p"):
        with pytest.raises(ServerUnreachable, match="has closed the connection"):  # its data may be gone: not silently
            connection.store([("k", [b"0"])])
        connection.store([("k", [b"1"])])
        assert connection.client.get("k") == b"1"
    connection.close()


def test_an_error_while_the_chunks_are_produced_leaves_a_usable_connection(connection: Connection) -> None:
    def chunks() -> Iterator[tuple[str, list[Buffer]]]:
        yield "first", [bytes(1 << 20)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connection.store(chunks())

    assert connection.client.ping()
    connection.store([("second", [b"2"])])
    assert fetched(connection, ["second"], 1) == b"2"


def test_a_forked_child_does_not_share_the_conversation(connection: Connection) -> None:
    connection.client.set("who", b"parent")
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = 0 if connection.client.get("who") == b"parent" else 2  # on a socket of its own
        finally:
            os._exit(code)
    for _ in range(200):
        assert connection.client.get("who") == b"parent"
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "wrong", ["redis://:wrong-word@{place}", "redis://nobody:wrong-word@{place}", "redis://{place}"]
)
def test_a_wrong_password_is_said_and_not_shown(wrong: str) -> None:
    with EmbeddedServer(port=0, password="right-word") as server:
        place = server.url.rpartition("@")[2]
        with (
            pytest.raises(ServerUnreachable, match="password") as caught,
            Connection(wrong.format(place=place)) as connection,  # without a password only the first command fails
        ):
            connection.client.ping()
        assert place in str(caught.value)
        assert "-word" not in str(caught.value)
        assert "redis://user:password@host" in str(caught.value)


def test_an_address_where_nobody_listens_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        began = time.monotonic()
        with pytest.raises(ServerUnreachable) as caught:
            Connection(f"redis://:hidden@127.0.0.1:{taken.getsockname()[1]}/0")
    assert time.monotonic() - began < 2
    assert "redis://:***@127.0.0.1" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "unset PLAYGROUND_REDIS_URL" in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_host_that_never_answers_is_given_up_after_the_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts, and says nothing
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="no server answers"):
            Connection(f"redis://:p@127.0.0.1:{silent.getsockname()[1]}/0", timeout=0.5)
    assert time.monotonic() - began < 3


def test_a_missing_socket_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="No such file"):
        Connection(f"unix://{tmp_path}/absent")


@pytest.mark.parametrize(
    "url", ["http://host", "localhost:6379", "", "redis://host:notaport", "redis://h/0?nonsense=1"]
)
def test_what_is_not_a_server_address_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        Connection(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://me:p%40w@host/0?ssl_password=x&db=1", "rediss://me:***@host/0?ssl_password=***&db=1"),
        ("redis://me:p@ss@host", "redis://me:***@host"),
        ("unix:///run/s?db=0&password=pw", "unix:///run/s?db=0&password=***"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_password(url) == shown


@pytest.fixture
def encrypted(server: EmbeddedServer, tmp_path: Path) -> Iterator[str]:
    """The URL of a TLS port in front of the server (whose own program was built without TLS)."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make a certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    command = ["openssl", *request.split(), "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            try:
                client = context.wrap_socket(plain, server_side=True)
            except OSError:
                continue  # a client that does not trust us
            threading.Thread(target=_exchange, args=(client, str(server.folder / "s")), daemon=True).start()

    threading.Thread(target=relay, daemon=True).start()
    yield f"rediss://localhost:{listener.getsockname()[1]}/0?ssl_ca_certs={certificate}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _exchange(client: ssl.SSLSocket, path: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as upstream:
        upstream.connect(path)
        client.setblocking(False)
        while True:
            select.select([] if client.pending() else [client, upstream], [], [], 10)
            try:
                if not (data := client.recv(1 << 16)):
                    return
                upstream.sendall(data)
            except ssl.SSLWantReadError:
                pass
            if select.select([upstream], [], [], 0)[0]:
                data = upstream.recv(1 << 16)
                client.setblocking(True)
                client.sendall(data)
                client.setblocking(False)
                if not data:
                    return


def test_payloads_cross_an_encrypted_connection(encrypted: str) -> None:
    payload = os.urandom(9_000_001)
    with Connection(encrypted) as connection:
        connection.store(in_chunks(payload))
        assert fetched(connection, ["k0", "k1", "k2"], len(payload)) == payload
        assert connection.client.get("k2") == payload[2 * CHUNK_BYTES :]
        with pytest.raises(ProtocolError, match="nowhere"):
            connection.fetch(["nowhere"], memoryview(bytearray(1)))
        assert connection.client.ping()


def test_a_certificate_that_is_not_trusted_is_said(encrypted: str) -> None:
    with pytest.raises(ServerUnreachable, match="certificate"):
        Connection(encrypted.partition("?")[0])


def test_a_read_in_which_another_thread_waits_can_be_ended_and_the_next_command_connects_again(
    connection: Connection,
) -> None:
    ended: list[float] = []

    def wait() -> None:
        with pytest.raises(ServerUnreachable):
            connection.call(("XREAD", "BLOCK", 8000, "STREAMS", "nothing", "0"))
        ended.append(time.monotonic())

    with Connection(connection.url, name="looks-on") as other:
        thread = threading.Thread(target=wait)
        thread.start()
        while "cmd=xread" not in other.client.execute_command("CLIENT", "LIST").decode().lower():
            pass
        began = time.monotonic()
        connection.interrupt()
        thread.join(10)

    assert ended[0] - began < 2
    assert connection.client.ping()
    connection.close()
    connection.interrupt()  # nothing to end
