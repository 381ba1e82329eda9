"""Batches of lines: exact there and back, and nothing believed that makes no sense."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground_ext.errors import ProtocolError
from playground_ext.logs.record import Batch, LogRecord, decode_batch, encode_batch


def record(seq: int = 1, text: str = "loss 0.31", *, party: str = "aggregator", level: str = "INFO") -> LogRecord:
    return LogRecord(1.5, party, level, 2, seq, "log", text)


def batch(records: list[LogRecord], party: str = "aggregator") -> Batch:
    errors = sum(line.level == "ERROR" for line in records)
    return Batch(party, 7, records[0].seq, records[-1].seq, errors, encode_batch(records))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_a_batch_comes_back_as_it_was(texts: list[str]) -> None:
    records = [record(seq, text) for seq, text in enumerate(texts, 1)]

    assert decode_batch(encode_batch(records)) == records
    assert batch(records).tail(3) == records[-3:]


def test_a_batch_is_one_json_object_a_line() -> None:
    lines = encode_batch([record(1, "a\nb"), record(2)]).splitlines()

    assert [msgspec.json.decode(line)["text"] for line in lines] == ["a\nb", "loss 0.31"]


def test_text_that_is_not_unicode_is_escaped_instead_of_lost() -> None:
    assert decode_batch(encode_batch([record(1, "file \udcff.txt")]))[0].text == "file \\udcff.txt"


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[1]",
        b'{"time":1}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"time":"x","party":1}',
        encode_batch([record()])[:-9],
    ],
)
def test_bytes_that_are_no_batch_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        decode_batch(data)


def test_the_fields_of_a_stream_entry_come_back_as_a_batch() -> None:
    sent = batch([record(5), record(6, level="ERROR")])
    stored = {
        key.encode(): value if isinstance(value, bytes) else str(value).encode() for key, value in sent.fields().items()
    }

    assert Batch.of(stored) == sent
    assert sent.error_records() == [record(6, level="ERROR")]


def test_an_entry_without_lines_is_a_mark() -> None:
    assert Batch.of({b"p": b"aggregator", b"s": b"1", b"l": b"3"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {b"l": b"0"},
        {b"l": b"999999999"},
        {b"f": b"-4", b"l": b"-3"},
        {b"s": b"x"},
        {b"p": b"\xff"},
        {b"f": None},
        {b"r": b"x" * (5 << 20)},
    ],
)
def test_an_entry_whose_fields_make_no_sense_is_refused(change: dict[bytes, bytes | None]) -> None:
    good = {b"p": b"aggregator", b"s": b"1", b"f": b"1", b"l": b"1", b"e": b"0", b"r": encode_batch([record()])}
    fields = {key: value for key, value in (good | change).items() if value is not None}

    with pytest.raises(ProtocolError):
        Batch.of(fields)


def test_lines_that_name_another_party_than_their_batch_are_left_out() -> None:
    forged = batch([record(1), record(2, party="collaborator-1"), record(3)])

    assert [line.seq for line in forged.records()] == [1, 3]
