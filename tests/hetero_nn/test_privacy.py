"""What somebody who records everything between the parties of a split model could read: no id, and no plain hash."""

from __future__ import annotations

import codecs
import hashlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PARTIES = Path(__file__).with_name("split_parties.py")
SAMPLES, BATCH = 72, 16
HASHES = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b", "blake2s")


class Recorder(threading.Thread):
    """Every command that the server gets, with its bytes: also those that are trimmed from the streams later."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(urlsplit(url).path)
        self._socket.sendall(b"MONITOR\r\n")
        self._pieces: list[bytes] = []

    def run(self) -> None:
        while piece := self._socket.recv(1 << 20):
            self._pieces.append(piece)

    def recorded(self) -> bytes:
        """Ends the recording. The server shows bytes that are no text as `\\x07`, as Python does."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self._socket.close()
        said, _ = codecs.escape_decode(b"".join(self._pieces))  # type: ignore[attr-defined]
        assert isinstance(said, bytes)
        return said


@pytest.fixture
def recorder(server) -> Iterator[Recorder]:
    recorder = Recorder(server.url)
    recorder.start()
    yield recorder
    recorder._socket.close()


def digests(text: bytes) -> Iterator[bytes]:
    """What a curious reader would try."""
    yield from (hashlib.new(name, text).digest() for name in HASHES)
    yield from (hashlib.new(name, text, digest_size=16).digest() for name in ("blake2b", "blake2s"))
    yield hashlib.shake_256(text).digest(64)


def lists(names: list[str]) -> Iterator[list[str]]:
    """The lists whose digests are compared: train and test ids, and those of every batch."""
    train, test = names[: SAMPLES - 8], names[SAMPLES - 8 :]
    yield from (train, test)
    for part in (train, test):
        yield from (part[start : start + BATCH] for start in range(0, len(part), BATCH))


def spellings(names: Iterable[str]) -> Iterator[bytes]:
    """Ways to hash a list; the first is ours, without its key."""
    encoded = [name.encode() for name in names]
    yield b"".join(len(name).to_bytes(8, "big") + name for name in encoded)
    yield from (separator.join(encoded) for separator in (b"", b",", b"\n", b" "))


@pytest.mark.parametrize("psi", ["ecdh", "rsa"])
def test_no_envelope_of_a_split_model_holds_an_id_or_a_hash_without_a_key(federation, recorder, psi):
    host = {"base": "host", "change": "Named", "key": "host", "psi": psi, "options": {}}
    other = {"base": "collaborator", "change": "Named", "key": "collaborator-1", "options": {}}

    answers = federation(PARTIES, {"host": ("changed", host), "collaborator-1": ("changed", other)})

    assert answers["host"]["rounds"] == 1
    recorded = recorder.recorded()
    assert len(set(re.findall(rb'"train_digest":"([0-9a-f]{32})"', recorded))) == 1, "the split was compared"
    batches = set(re.findall(rb'"digest":"([0-9a-f]{32})"', recorded))
    assert len(batches) == 5, "four training batches of 16 (64 samples), and one of 8 for the test"
    names = [f"secret-patient-{number:04d}" for number in range(SAMPLES)]
    assert b"secret" not in recorded
    plain = [digest for name in names for digest in digests(name.encode())]
    plain += [digest for one in lists(names) for text in spellings(one) for digest in digests(text)]
    for digest in plain:
        assert digest[:16] not in recorded
        assert digest[:16].hex().encode() not in recorded


def test_the_same_task_again_compares_other_digests(federation, recorder, server):
    found = []
    for _ in range(2):
        host = {"base": "host", "change": "Named", "key": "host", "options": {}}
        other = {"base": "collaborator", "change": "Named", "key": "collaborator-1", "options": {}}
        federation(PARTIES, {"host": ("changed", host), "collaborator-1": ("changed", other)})
    found = re.findall(rb'"train_digest":"([0-9a-f]{32})"', recorder.recorded())

    assert len(set(found)) == 2, "a key of its own for every attempt"
