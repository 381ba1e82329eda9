"""Two long lists of tags, kept and compared in memory that does not grow with them.

A tag's first two bytes say into which bucket it falls, whichever list it is from, so that equal tags meet in one
bucket and each bucket is compared alone (a partitioned hash join; Kitsuregawa, Tanaka & Moto-oka, 1983). Tags are kept
whole, so the comparison adds no collision to those of the protocol. A few thousand stay in memory; more lie in a file
without a name in the party's own folder, which nobody else can open and which goes with the process.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from playground_ext.errors import ProtocolError
from playground_ext.party.disk import storage_error
from playground_ext.psi.blocks import Buffer
from playground_ext.psi.matching import Intersection, compare

__all__ = ["BUCKET_TAGS", "Buckets"]

BUCKET_TAGS = 1 << 15  # of both lists together in one bucket, at most on average: 1.2 MB, 7 MB while it is compared
_CHUNK_BYTES = 1 << 12  # of a bucket that are written at once
_THEIRS = 1 << 31  # set in a record's place if the tag is the other party's


class Buckets:
    """The tags of `mine_count` own ids and `theirs_count` ids of the other party. Only the initiator has both.

    Memory: 7 to 16 MB, whatever the numbers are; on disk `width` + 4 bytes a tag. Leave the context to free both.
    """

    def __init__(self, folder: Path, *, width: int, mine_count: int, theirs_count: int) -> None:
        self._folder = folder
        self._width = width
        self._expected = mine_count, theirs_count
        self._seen = [0, 0]
        self._record = np.dtype([("tag", f"S{width}"), ("place", "<u4")])
        self._chunk = _CHUNK_BYTES // self._record.itemsize * self._record.itemsize
        count = 1
        while count * BUCKET_TAGS < mine_count + theirs_count:
            count *= 2
        self._pending = [bytearray() for _ in range(count)]  # not yet in the file
        self._written = [array("I") for _ in range(count)]  # the numbers of each bucket's chunks in the file
        self._chunks = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pending, self._written = [], []
        if self._file is not None:
            self._file.close()

    def add_mine(self, block: Buffer) -> None:
        """Tags of own ids, in their secret order. Raises like `add_theirs`."""
        self._add(block, 0)

    def add_theirs(self, block: Buffer) -> None:
        """Tags of the other party's ids, in the order in which it sent them.

        Raises:
            ProtocolError: far more in one bucket than in the others, so somebody chose them to fill the memory. (Chance
                puts twice the mean m into a bucket with probability exp(-0.38·m), below 2**-8000.)
            StorageError: the disk is full or not writable.
        """
        self._add(block, 1)

    def matches(self) -> Iterator[Intersection]:
        """The places of equal tags, a bucket at a time.

        Raises:
            ProtocolError: fewer tags than announced, or the same one twice in a list.
            StorageError: what was written cannot be read.
        """
        for whose, expected, seen in zip(("own ids", "the other party's ids"), self._expected, self._seen, strict=True):
            if expected != seen:
                raise ProtocolError(f"{expected:,} tags of {whose} were announced, but {seen:,} came")
        for bucket in range(len(self._pending)):
            records = self._read(bucket)
            theirs = records["place"] >= _THEIRS
            mine, others = records[~theirs], records[theirs]
            found = compare(mine["tag"], others["tag"])
            yield Intersection(mine["place"][found.mine], others["place"][found.theirs] - np.uint32(_THEIRS))

    def _add(self, block: Buffer, side: int) -> None:
        tags = np.frombuffer(block, dtype=f"S{self._width}")
        first = self._seen[side]
        self._seen[side] += len(tags)
        records = np.empty(len(tags), dtype=self._record)
        records["tag"] = tags
        records["place"] = np.arange(first, first + len(tags), dtype=np.uint32) + np.uint32(side * _THEIRS)
        if len(self._pending) == 1:
            self._pending[0] += records.tobytes()
            return
        prefixes = np.frombuffer(block, dtype=np.uint8).reshape(-1, self._width)[:, :2].astype(np.uint16)
        buckets = (prefixes[:, 0] | prefixes[:, 1] << np.uint16(8)) & np.uint16(len(self._pending) - 1)
        order = np.argsort(buckets, kind="stable")
        records, buckets = records[order], buckets[order]
        starts = np.flatnonzero(np.diff(buckets, prepend=buckets[:1] + np.uint16(1)))
        for start, part in zip(starts, np.split(records, starts[1:]), strict=True):
            self._append(int(buckets[start]), part)

    def _append(self, bucket: int, records: npt.NDArray[Any]) -> None:
        pending, written = self._pending[bucket], self._written[bucket]
        pending += records.tobytes()
        if len(written) * self._chunk + len(pending) > 2 * BUCKET_TAGS * self._record.itemsize:
            raise ProtocolError("the tags that came are not spread as chance would spread them")
        with self._storing():
            while len(pending) >= self._chunk:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder, prefix="psi-")  # noqa: SIM115
                chunk = memoryview(bytes(pending[: self._chunk]))
                while chunk:  # a disk that is nearly full takes a part of it, then refuses the rest
                    chunk = chunk[self._file.write(chunk) :]
                del pending[: self._chunk]
                written.append(self._chunks)
                self._chunks += 1

    def _read(self, bucket: int) -> npt.NDArray[Any]:
        data, self._pending[bucket] = self._pending[bucket], bytearray()
        with self._storing():
            for number in self._written[bucket]:
                if self._file is not None:
                    self._file.seek(number * self._chunk)
                    data += self._file.read(self._chunk)
        return np.frombuffer(data, dtype=self._record)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, self._folder, "keep the tags of an intersection") from error
