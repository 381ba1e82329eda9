from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from playground_ext.errors import StorageError
from playground_ext.party.outbox import Outbox


def put(outbox: Outbox, round: int, payload: bytes = b"payload") -> int:
    return outbox.put(["bob"], "update", round, 0, "", {"round": round}, [payload]).seq


def test_messages_survive_the_process_in_their_order(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    for round in (1, 2, 3):
        put(first, round, bytes([round]) * 100_000)
    first.discard(2)

    again = Outbox(tmp_path)

    assert [(message.seq, message.round, message.meta) for message in again] == [(1, 1, {"round": 1}), (3, 3, {"round": 3})]
    assert [bytes(again.payload(message)) for message in again] == [b"\x01" * 100_000, b"\x03" * 100_000]
    assert put(again, 4) == 4


def test_a_message_is_found_by_what_it_says(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, 7)

    assert outbox.find(["bob"], "update", 7, 0, "") is not None
    assert outbox.find(["bob"], "update", 8, 0, "") is None
    assert outbox.find(["carol"], "update", 7, 0, "") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_half_written_message_was_never_sent_and_is_dropped(tmp_path: Path, damage: str) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, 1)
    put(outbox, 2, b"x" * 5000)
    file = tmp_path / f"{2:012d}.msg"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    file.write_bytes({"cut": bytes(data[:-10]), "flip": bytes(data), "empty": b""}[damage])

    assert [message.round for message in Outbox(tmp_path)] == [1]


def test_a_message_of_many_pieces_is_written_whole(tmp_path: Path) -> None:
    pieces = [bytes([i % 256]) * (i % 7) for i in range(3000)]
    outbox = Outbox(tmp_path)
    message = outbox.put(["bob"], "update", 1, 0, "", {}, pieces)

    assert bytes(outbox.payload(message)) == b"".join(pieces)


def test_a_full_disk_is_named_and_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path)

    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", no_space)
    with pytest.raises(StorageError, match=r"could not keep a 'update' message of 7 bytes: the disk is full") as raised:
        put(outbox, 1)

    assert "playground clean" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_files_are_private(tmp_path: Path) -> None:
    put(Outbox(tmp_path / "outbox"), 1)

    assert (tmp_path / "outbox").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "outbox" / f"{1:012d}.msg").stat().st_mode & 0o777 == 0o600
