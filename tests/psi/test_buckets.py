"""Lists of tags compared bucket by bucket: exact against Python's dicts, on disk if they are long, deaf to nonsense."""

from __future__ import annotations

import hashlib
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playground_ext.errors import ProtocolError, StorageError
from playground_ext.psi import buckets as buckets_module
from playground_ext.psi.buckets import Buckets

WIDTH = 6
NOWHERE = Path("/nowhere")  # few tags stay in memory


def tags(numbers) -> list[bytes]:
    """What chance makes of them, as both protocols do."""
    return [hashlib.blake2b(b"%d" % number, digest_size=WIDTH).digest() for number in numbers]


def fill(buckets: Buckets, mine: list[bytes], theirs: list[bytes], block: int = 100) -> None:
    for add, items in ((buckets.add_mine, mine), (buckets.add_theirs, theirs)):
        for start in range(0, len(items), block):
            add(b"".join(items[start : start + block]))


def places(mine: list[bytes], theirs: list[bytes], folder: Path = NOWHERE, block: int = 100) -> dict[int, int]:
    """Of every common tag: where it stands here, and where there."""
    counts = {"mine_count": len(mine), "theirs_count": len(theirs)}
    with Buckets(folder, width=len((mine + theirs + [b""])[0]) or WIDTH, **counts) as buckets:
        fill(buckets, mine, theirs, block)
        found = list(buckets.matches())
    return {int(one): int(other) for each in found for one, other in zip(each.mine, each.theirs, strict=True)}


def expected(mine: list[bytes], theirs: list[bytes]) -> dict[int, int]:
    where = {tag: place for place, tag in enumerate(theirs)}
    return {place: where[tag] for place, tag in enumerate(mine) if tag in where}


@pytest.fixture
def small(monkeypatch) -> None:
    """Buckets so small that a few hundred tags fill several, most of them in the file."""
    monkeypatch.setattr(buckets_module, "BUCKET_TAGS", 256)
    monkeypatch.setattr(buckets_module, "_CHUNK_BYTES", 400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("private")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 500))
def test_lists_of_any_length_are_compared_exactly(small, folder, mine, theirs, first, block):
    ours, others = tags(range(mine)), tags(range(first + theirs - 1, first - 1, -1))
    assert places(ours, others, folder, block) == expected(ours, others)
    assert list(folder.iterdir()) == [], "the file has no name"


@given(st.sets(st.binary(min_size=4, max_size=4)), st.sets(st.binary(min_size=4, max_size=4)))
def test_tags_are_compared_whole_trailing_zeros_included(mine, theirs):
    mine = [*mine, b"ab\0\0", b"\0\0\0\0"] if not mine & {b"ab\0\0", b"\0\0\0\0"} else list(mine)
    assert places(mine, list(theirs)) == expected(mine, list(theirs))


@pytest.mark.parametrize("whose", ["own ids", "the other party's ids"])
@pytest.mark.parametrize("count", [2, 2000])
def test_a_tag_that_comes_twice_is_refused(small, folder, whose, count):
    once, twice = tags(range(count)), [*tags(range(count - 1)), *tags([0])]
    with pytest.raises(ProtocolError, match=f"the tags of {whose} are not all different"):
        places(*((twice, once) if whose == "own ids" else (once, twice)), folder)


def test_a_list_that_ends_early_is_refused():
    for mine, theirs, whose in ((3, 2, "own ids"), (2, 3, "the other party's ids")):
        with Buckets(NOWHERE, width=WIDTH, mine_count=mine, theirs_count=theirs) as buckets:
            fill(buckets, tags([1, 2]), tags([3, 4]))
            with pytest.raises(ProtocolError, match=f"3 tags of {whose} were announced, but 2 came"):
                list(buckets.matches())


def test_tags_that_somebody_chose_do_not_fill_the_memory(small, folder):
    chosen = [b"ab" + tag[2:] for tag in tags(range(2000))]
    with pytest.raises(ProtocolError, match="not spread as chance would spread them"):
        places(tags(range(2000)), chosen, folder)


def test_a_full_disk_names_the_folder_and_frees_the_file(small, folder):
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Buckets(folder, width=WIDTH, mine_count=5000, theirs_count=5000) as buckets:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 + 100, hard))  # the last write but one fits in part
        try:
            with pytest.raises(StorageError) as caught:
                fill(buckets, tags(range(5000)), tags(range(5000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"could not keep the tags of an intersection: the disk is full ({folder})" in str(caught.value)
    assert "free some space" in str(caught.value)
    assert not before or set(os.listdir("/proc/self/fd")) <= before


def test_memory_does_not_grow_with_the_tags(folder, monkeypatch):
    monkeypatch.setattr(buckets_module, "BUCKET_TAGS", 4096)
    monkeypatch.setattr(buckets_module, "_CHUNK_BYTES", 2048)

    def peak(count: int) -> int:
        generator = np.random.default_rng(count)
        tracemalloc.start()
        try:
            with Buckets(folder, width=32, mine_count=count, theirs_count=count) as buckets:
                for _ in range(count // 1024):
                    buckets.add_mine(generator.bytes(1024 * 32))
                    buckets.add_theirs(generator.bytes(1024 * 32))
                assert sum(len(found) for found in buckets.matches()) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(1 << 14), peak(1 << 16)
    assert few < 4096 * 36 * 6  # a bucket's records, and what comparing them takes
    assert many - few < 1 << 16  # 24 more buckets of which up to 2 KB wait each; the tags are 3.5 MB more
