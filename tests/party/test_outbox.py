from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from playground_ext.errors import StorageError
from playground_ext.party.outbox import JOURNAL_BYTES, Outbox

SMALL, LARGE = b"payload", b"x" * 100_000


def put(outbox: Outbox, round: int, payload: bytes = SMALL) -> int:
    message = outbox.put(["bob"], "update", round, 0, "", {"round": round}, [payload])
    outbox.settle(message)
    return message.seq


@pytest.mark.parametrize("size", [0, 10, 64 << 10, 100_000])
def test_messages_survive_the_process_in_their_order(tmp_path: Path, size: int) -> None:
    first = Outbox(tmp_path)
    for round in (1, 2, 3, 4):
        put(first, round, bytes([round]) * (size if round % 2 else 10))
    first.close()

    again = Outbox(tmp_path)

    assert [(message.seq, message.round, message.meta) for message in again] == [
        (n, n, {"round": n}) for n in (1, 2, 3, 4)
    ]
    payloads = [b"".join(again.payload(message)) for message in again]
    assert payloads == [bytes([n]) * (size if n % 2 else 10) for n in (1, 2, 3, 4)]
    assert put(again, 5) == 5


def test_a_large_message_leaves_the_disk_when_it_is_discarded(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.discard(put(outbox, 1, LARGE))

    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
    assert len(outbox) == 0


def test_the_journal_does_not_grow_for_ever_and_keeps_what_is_unacknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, durable=False)
    kept = put(outbox, 0, b"kept")
    for round in range(1, 400):
        outbox.discard(put(outbox, round, bytes(60_000)))

    assert (tmp_path / "journal").stat().st_size < JOURNAL_BYTES + 100_000
    assert [b"".join(outbox.payload(message)) for message in outbox] == [b"kept"]
    outbox.discard(kept)
    again = Outbox(tmp_path)
    assert len(again) < 80  # what was acknowledged after the last rewriting may be sent again; receivers deduplicate


def test_a_message_is_found_by_what_it_says(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, 7)

    assert outbox.find(["bob"], "update", 7, 0, "") is not None
    assert outbox.find(["bob"], "update", 8, 0, "") is None
    assert outbox.find(["carol"], "update", 7, 0, "") is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
@pytest.mark.parametrize("payload", [SMALL, LARGE])
def test_a_half_written_message_was_never_sent_and_is_dropped(tmp_path: Path, damage: str, payload: bytes) -> None:
    outbox = Outbox(tmp_path)
    put(outbox, 1, LARGE if payload == SMALL else SMALL)
    put(outbox, 2, payload)
    outbox.close()
    file = tmp_path / ("journal" if payload == SMALL else f"{2:012d}.msg")
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[-1] ^= 1
    file.write_bytes({"cut": bytes(data[:-10]), "flip": bytes(data), "empty": b""}[damage])

    assert [message.round for message in Outbox(tmp_path)] == [1]


def test_a_message_of_many_pieces_is_written_whole(tmp_path: Path) -> None:
    pieces = [bytes([i % 256]) * (i % 7) for i in range(3000) for _ in range(40)]
    outbox = Outbox(tmp_path)
    message = outbox.put(["bob"], "update", 1, 0, "", {}, pieces)
    outbox.settle(message)

    assert b"".join(outbox.payload(message)) == b"".join(pieces)


def test_a_full_disk_is_named_and_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path)

    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", no_space)
    for payload in (SMALL, LARGE):
        with pytest.raises(StorageError, match=r"could not keep a 'update' message of .* bytes: the disk is full"):
            put(outbox, 1, payload)

    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("journal", 0)]


def test_files_are_private(tmp_path: Path) -> None:
    put(Outbox(tmp_path / "outbox"), 1, LARGE)

    assert (tmp_path / "outbox").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "outbox").iterdir()} == {0o600}
