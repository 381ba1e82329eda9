"""MNIST without a network, and splits: disjoint, complete, reproducible."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from playground_ext import data
from playground_ext.data import (
    dataset_dir,
    label_counts,
    mnist,
    mnist_root,
    split_by_label,
    split_columns,
    split_dirichlet,
    split_iid,
)
from playground_ext.errors import ConfigError, StorageError
from playground_ext.settings import read

FULL = mnist_root()  # before the fixture below hides it


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache and no PLAYGROUND_DATA; opening a socket fails."""

    def no_network(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("PLAYGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PLAYGROUND_DATA", raising=False)
    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.create_connection", no_network)
    data._say_once.cache_clear()
    yield tmp_path / "cache"
    data._say_once.cache_clear()


def idx(array: np.ndarray) -> bytes:
    """MNIST's file format: magic number, sizes, bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, train: int = 20, test: int = 10, *, compressed: bool = True) -> Path:
    """A data set of another size, so that it is told apart from the bundled one."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        files = {
            f"{part}-images-idx3-ubyte": idx(np.full((count, 28, 28), count)),
            f"{part}-labels-idx1-ubyte": idx(np.arange(count) % 10),
        }
        for name, content in files.items():
            if compressed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (raw / name).write_bytes(content)
    return root


# --- MNIST


@pytest.mark.parametrize(("train", "per_digit"), [(True, 600), (False, 100)])
def test_the_bundled_subset_is_balanced_and_of_the_right_shape(train: bool, per_digit: int) -> None:
    digits = mnist(train, subset=True)

    assert type(digits).__qualname__ == "MNIST"
    assert digits.data.shape == (10 * per_digit, 28, 28)
    assert label_counts(digits.targets, range(len(digits))) == [per_digit] * 10
    image, label = digits[0]
    assert image.size == (28, 28)
    assert label in range(10)


@pytest.mark.skipif(FULL is None, reason="needs the full MNIST in PLAYGROUND_DATA")
@pytest.mark.parametrize("train", [True, False])
def test_the_bundled_images_are_those_of_the_full_set(train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = mnist(train, subset=True)
    monkeypatch.setenv("PLAYGROUND_DATA", str(FULL))
    full = mnist(train, subset=False)
    known = {
        (image.tobytes(), int(label)) for image, label in zip(full.data.numpy(), full.targets.numpy(), strict=True)
    }

    assert len(full) == (60_000 if train else 10_000)
    assert all(
        (image.tobytes(), int(label)) in known
        for image, label in zip(ours.data.numpy(), ours.targets.numpy(), strict=True)
    )


def test_the_bundled_test_images_are_no_training_images() -> None:
    trained = {image.tobytes() for image in mnist(True, subset=True).data.numpy()}

    assert not any(image.tobytes() in trained for image in mnist(False, subset=True).data.numpy())


def test_a_transform_is_applied() -> None:
    from torchvision.transforms import ToTensor

    image, _ = mnist(False, subset=True, transform=ToTensor())[0]

    assert image.shape == (1, 28, 28)
    assert image.dtype == torch.float32


@pytest.mark.parametrize("compressed", [True, False])
def test_the_data_set_of_playground_data_is_served(
    compressed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_mnist(tmp_path / "mine", compressed=compressed)
    monkeypatch.setenv("PLAYGROUND_DATA", str(root))
    files = sorted(root.rglob("*"))

    assert mnist_root() == root
    assert len(mnist()) == len(mnist(subset=False)) == 20
    assert len(mnist(False)) == 10
    assert len(mnist(subset=True)) == 6_000
    assert (dataset_dir() == root) is not compressed
    assert sorted(root.rglob("*")) == files  # nothing was written beside them


def test_the_cache_comes_second_and_the_bundled_subset_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    assert mnist_root() is None
    assert len(mnist()) == 6_000
    write_mnist(cache, train=30)
    assert mnist_root() == cache
    assert len(mnist()) == 30
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path / "empty"))
    assert mnist_root() == cache
    monkeypatch.setenv("PLAYGROUND_DATA", str(write_mnist(tmp_path / "mine")))
    assert len(mnist()) == 20


def test_a_data_set_that_lacks_a_file_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_mnist(tmp_path / "mine")
    (root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("PLAYGROUND_DATA", str(root))

    assert mnist_root() is None
    with pytest.raises(ConfigError, match="PLAYGROUND_DATA"):
        mnist(subset=False)


def test_it_says_once_which_data_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="playground")
    mnist()
    mnist(False)
    monkeypatch.setenv("PLAYGROUND_DATA", str(write_mnist(tmp_path / "mine")))
    mnist()
    mnist(False)

    assert [record.name for record in caplog.records] == ["playground", "playground"]
    assert "bundled subset of 6,000" in caplog.messages[0]
    assert str(tmp_path / "mine") in caplog.messages[1]


def test_torchvision_itself_finds_everything_without_a_download() -> None:
    from torchvision.datasets import MNIST

    assert len(MNIST(dataset_dir(), train=True, download=True)) == 6_000


def test_the_extracted_files_are_shared_and_read_only(cache: Path) -> None:
    root = dataset_dir()
    raw = root / "MNIST" / "raw"

    assert root.is_relative_to(cache)
    assert dataset_dir() == root
    assert len(list(raw.iterdir())) == 4
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in raw.iterdir())


def test_a_lost_or_cut_file_is_extracted_again() -> None:
    raw = dataset_dir() / "MNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte").chmod(0o644)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"cut")

    assert len(mnist().targets) == 6_000
    assert len(mnist(False).targets) == 1_000


SIX_PROCESSES = """
import os, socket, sys, zlib
def no_network(*arguments, **options):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = no_network
from playground_ext.data import FILES, RAW, dataset_dir
gate, opener = os.pipe()
for number in range(6):
    if os.fork() == 0:
        os.close(opener)
        os.read(gate, 1)  # until the gate opens for all at once
        folder = dataset_dir() / RAW
        os.write(1, str([zlib.crc32((folder / name).read_bytes()) for name in FILES]).encode() + b"\\n")
        os._exit(0)
os.close(opener)
sys.exit(max(os.waitstatus_to_exitcode(os.wait()[1]) for number in range(6)))
"""


def test_several_processes_may_begin_at_once() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(data.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", SIX_PROCESSES], env=environment, capture_output=True, text=True, timeout=120, check=True
    )

    whole = [gzip.decompress((data.BUNDLED / data.RAW / f"{name}.gz").read_bytes()) for name in data.FILES]
    assert done.stdout.splitlines() == [str([zlib.crc32(file) for file in whole])] * 6
    assert sorted(path.name for path in (dataset_dir() / "MNIST" / "raw").iterdir()) == sorted(data.FILES)


@pytest.mark.parametrize("damage", [lambda old: old[:-20], lambda old: b"no archive", lambda old: b""])
def test_a_damaged_archive_is_named(
    damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    root = write_mnist(tmp_path / "mine")
    archive = root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    monkeypatch.setenv("PLAYGROUND_DATA", str(root))

    with pytest.raises(StorageError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        mnist()
    assert not [path for path in cache.rglob(".*")]


def test_a_cache_that_cannot_be_written_is_explained(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")

    with pytest.raises(StorageError, match="PLAYGROUND_CACHE"):
        mnist()


def test_the_package_folder_is_never_written(cache: Path) -> None:
    before = sorted(data.BUNDLED.rglob("*"))
    shutil.rmtree(cache, ignore_errors=True)
    mnist()

    assert sorted(data.BUNDLED.rglob("*")) == before
    assert read().cache == cache


# --- splits

sizes = st.integers(1, 12)
label_lists = st.lists(st.integers(0, 9), min_size=12, max_size=300)


def check_partition(parts: list[list[int]], samples: int) -> None:
    assert sorted(index for part in parts for index in part) == list(range(samples))  # disjoint and complete
    assert all(parts)
    assert all(type(index) is int for part in parts for index in part)


@given(samples=st.integers(12, 500), parties=sizes, seed=st.integers(0, 2**32))
def test_an_iid_split_is_disjoint_complete_even_and_reproducible(samples: int, parties: int, seed: int) -> None:
    parts = split_iid(samples, parties, seed=seed)

    check_partition(parts, samples)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert split_iid(samples, parties, seed=seed) == parts


@given(labels=label_lists, parties=st.integers(1, 4), shards=st.integers(1, 3), seed=st.integers(0, 2**32))
def test_a_split_by_label_is_disjoint_complete_and_reproducible(
    labels: list[int], parties: int, shards: int, seed: int
) -> None:
    parts = split_by_label(labels, parties, shards_per_party=shards, seed=seed)

    check_partition(parts, len(labels))
    assert split_by_label(labels, parties, shards_per_party=shards, seed=seed) == parts


@settings(deadline=None)
@given(labels=label_lists, parties=sizes, alpha=st.floats(1e-3, 1e6), seed=st.integers(0, 2**32))
def test_a_dirichlet_split_is_disjoint_complete_even_and_reproducible(
    labels: list[int], parties: int, alpha: float, seed: int
) -> None:
    parts = split_dirichlet(labels, parties, alpha=alpha, seed=seed)

    check_partition(parts, len(labels))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert split_dirichlet(labels, parties, alpha=alpha, seed=seed) == parts


@given(parties=sizes, width=st.integers(12, 100))
def test_columns_are_disjoint_complete_neighbours(parties: int, width: int) -> None:
    slices = split_columns(width, parties)

    assert [column for part in slices for column in range(width)[part]] == list(range(width))
    assert all(part.stop > part.start for part in slices)
    widths = [part.stop - part.start for part in slices]
    assert sorted(widths, reverse=True) == widths
    assert widths[0] - widths[-1] <= 1


def test_other_seeds_give_other_splits() -> None:
    labels = [index % 10 for index in range(1000)]

    assert split_iid(1000, 2, seed=0) != split_iid(1000, 2, seed=1)
    assert split_by_label(labels, 5, seed=0) != split_by_label(labels, 5, seed=1)
    assert split_dirichlet(labels, 2, seed=0) != split_dirichlet(labels, 2, seed=1)


def test_two_shards_hold_at_most_two_labels_of_balanced_data() -> None:
    labels = torch.arange(1000) % 10  # 100 of each; 10 parties x 2 shards of 50 lie within one label each
    parts = split_by_label(labels, 10, shards_per_party=2)

    assert all(sum(count > 0 for count in label_counts(labels, part)) <= 2 for part in parts)
    assert all(len(part) == 100 for part in parts)


def test_alpha_turns_from_one_label_a_party_to_the_mix_of_the_whole() -> None:
    labels = np.arange(10_000) % 10

    def largest_share(alpha: float) -> float:
        parts = split_dirichlet(labels, 10, alpha=alpha)
        return float(np.mean([max(label_counts(labels, part)) / len(part) for part in parts]))

    assert largest_share(1e6) < 0.13  # iid: 0.1
    assert largest_share(1e6) < largest_share(1) < largest_share(0.01)
    assert largest_share(0.01) > 0.7  # early parties 1.0, the last ones share what is left


def test_labels_may_be_a_list_an_array_a_tensor_or_a_data_set_s_targets() -> None:
    numbers = [2, 0, 1, 1, 2, 0]

    for labels in (numbers, np.array(numbers), torch.tensor(numbers), tuple(numbers)):
        assert split_by_label(labels, 2, shards_per_party=1) == split_by_label(numbers, 2, shards_per_party=1)
        assert split_dirichlet(labels, 2) == split_dirichlet(numbers, 2)
        assert label_counts(labels, [0, 4, 5]) == [1, 0, 2]


def test_labels_are_counted_up_to_the_largest_of_the_whole_set() -> None:
    assert label_counts([0, 1, 3], []) == [0, 0, 0, 0]
    assert label_counts([0, 1, 3], [0, 0, 1]) == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (lambda: split_iid(2, 3), "2 samples do not suffice for 3 parties"),
        (lambda: split_iid(2, 0), "among 0 parties"),
        (lambda: split_iid(2, -1), "among -1 parties"),
        (lambda: split_by_label([0, 1, 2], 2), "3 samples do not suffice for 4 shards"),
        (lambda: split_by_label([0, 1, 2], 2, shards_per_party=0), "shards_per_party=0"),
        (lambda: split_by_label([[0, 1]], 1), "not one label a sample"),
        (lambda: split_by_label([], 1), "not one label a sample"),
        (lambda: split_dirichlet([0], 2), "1 samples do not suffice for 2 parties"),
        (lambda: split_dirichlet([0, 1], 2, alpha=0), "alpha=0"),
        (lambda: split_dirichlet([0, 1], 2, alpha=float("nan")), "alpha=nan"),
        (lambda: split_columns(2, 3), "2 columns do not suffice for 3 parties"),
        (lambda: label_counts([0.5, 1.0], [0]), "cannot be counted"),
        (lambda: label_counts([-1, 1], [0]), "cannot be counted"),
    ],
)
def test_splits_that_cannot_work_say_why(split: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split()
