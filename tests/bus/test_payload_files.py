"""Payloads in files beside the server's socket: who may see them, what becomes of them, and when they are not used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from playground_ext.bus import payload_files
from playground_ext.bus.connection import Connection
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.payload_files import PayloadFiles
from playground_ext.bus.payloads import Payloads, Place
from playground_ext.bus.server import EmbeddedServer

KEYS = RunKeys("task", "run1")
SIZE = 5_000_000
PLACE = Place("bob", "alice", 1, 1, SIZE)


def of(server: EmbeddedServer) -> PayloadFiles:
    files = PayloadFiles.beside(server.url, "task", "run1")
    assert files is not None
    return files


def in_folder(server: EmbeddedServer) -> list[Path]:
    return sorted(path for path in (server.folder / "p").rglob("*") if path.is_file())


def test_a_payload_does_not_pass_the_server(server: EmbeddedServer) -> None:
    payload = os.urandom(SIZE)
    with Connection(server.url) as sender, Connection(server.url) as receiver:
        before = server.memory()
        Payloads(sender, KEYS).store(PLACE, [payload[:1000], memoryview(payload)[1000:]])

        assert Payloads(receiver, KEYS).load(PLACE) == payload
        assert server.memory() - before < SIZE / 10


def test_the_next_payload_takes_the_room_of_the_last_and_nothing_is_left(server: EmbeddedServer) -> None:
    with Connection(server.url) as connection:
        payloads = Payloads(connection, KEYS)
        payloads.store(PLACE, [bytes(SIZE)])
        (first,) = in_folder(server)
        inode = first.stat().st_ino
        payloads.drop([PLACE])
        assert payloads.load(PLACE) is None

        shorter = Place("bob", "alice", 1, 2, 300_000)
        payloads.store(shorter, [bytes(range(250)) * 1200])

        (second,) = in_folder(server)
        assert (second.stat().st_ino, second.stat().st_size) == (inode, 300_000)
        assert payloads.load(shorter) == bytes(range(250)) * 1200
        payloads.drop([shorter])
        payloads.close()
        assert in_folder(server) == []


def test_a_payload_is_received_where_copying_is_fast(server: EmbeddedServer) -> None:
    files = PayloadFiles.beside(server.url, "task")
    assert files is not None
    for size in (1, 100_000, 10_000_000):
        files.store("one", [b"x" * size])
        received = files.read("one", size)
        assert received == b"x" * size
        assert np.frombuffer(received, dtype=np.uint8).ctypes.data % 64 == 0


def test_who_reads_while_the_sender_reuses_the_file_gets_nothing(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = of(server)
    files.store("bob.alice.1.1", [b"first"])
    read = os.preadv

    def reused_meanwhile(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        monkeypatch.undo()
        files.drop("bob.alice.1.1")
        files.store("bob.alice.1.2", [b"later"])
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", reused_meanwhile)

    assert of(server).read("bob.alice.1.1", 5) is None
    assert of(server).read("bob.alice.1.2", 5) == b"later"


@pytest.mark.parametrize("problem", ["hardly any room", "a write that fails"])
def test_without_room_the_server_takes_the_payload(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    if problem == "hardly any room":
        monkeypatch.setattr(payload_files, "_SHARE", 0.0)
    else:

        def fail(descriptor: int, buffers: object, offset: int) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwritev", fail)
    payload = os.urandom(SIZE)
    with Connection(server.url) as connection:
        payloads = Payloads(connection, KEYS)
        payloads.store(PLACE, [payload])
        monkeypatch.undo()

        assert in_folder(server) == []
        assert payloads.load(PLACE) == payload
        payloads.drop([PLACE])
        assert payloads.load(PLACE) is None


def test_the_end_of_a_run_leaves_no_payload_of_anybody_and_those_of_other_runs(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Connection(server.url) as connection:
        ours, theirs = Payloads(connection, KEYS), Payloads(connection, RunKeys("task", "run2"))
        for payloads in (ours, theirs):
            payloads.store(PLACE, [bytes(SIZE)])
            with monkeypatch.context() as patch:
                patch.setattr(payload_files, "_SHARE", 0.0)
                payloads.store(PLACE._replace(seq=2), [bytes(SIZE)])

        ours.remove()

        assert [ours.load(PLACE._replace(seq=seq)) for seq in (1, 2)] == [None, None]
        assert [theirs.load(PLACE._replace(seq=seq)) for seq in (1, 2)] == [bytes(SIZE)] * 2


def test_a_server_that_is_gone_gets_no_folder(server: EmbeddedServer) -> None:
    files = of(server)
    folder = server.folder
    server.stop()

    assert not files.store("bob.alice.1.1", [b"payload"])
    assert not folder.exists()


def test_only_beside_a_socket_and_only_in_a_private_folder(server: EmbeddedServer) -> None:
    with EmbeddedServer(port=0) as tcp:
        assert PayloadFiles.beside(tcp.url, "task") is None
        assert PayloadFiles.beside(f"unix://{tcp.folder / 's'}", "task") is None  # others may come by TCP
    assert PayloadFiles.beside(server.url, "..") is None
    assert PayloadFiles.beside(server.url, "a/b") is None

    (server.folder / "p").chmod(0o755)

    assert PayloadFiles.beside(server.url, "task") is None


def test_a_link_is_not_followed(server: EmbeddedServer, tmp_path: Path) -> None:
    files = of(server)
    files.store("bob.alice.1.1", [b"payload"])
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for bob")
    (server.folder / "p" / "task" / "run1" / "bob.alice.1.2").symlink_to(secret)

    assert files.read("bob.alice.1.2", 5) is None
    assert files.store("bob.alice.1.2", [b"mine"]) is False
    assert secret.read_bytes() == b"not for bob"
