"""MNIST (the full set where it is found, else the bundled subset), and splits of a data set among parties.

Splits return indices and slices, never data, so that they serve any data set; the same arguments give the same split.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import math
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from playground_ext import settings
from playground_ext.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from torchvision.datasets import MNIST

__all__ = [
    "dataset_dir",
    "label_counts",
    "mnist",
    "mnist_root",
    "split_by_label",
    "split_columns",
    "split_dirichlet",
    "split_iid",
]

BUNDLED = Path(__file__).parent / "datasets" / "mnist_subset"
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
RAW = Path("MNIST", "raw")  # torchvision's layout below a root
SMALLEST_ALPHA, LARGEST_ALPHA = 1e-3, 1e6

logger = logging.getLogger("playground")


def mnist(train: bool = True, *, subset: bool | None = None, transform: Callable[[Any], Any] | None = None) -> MNIST:
    """torchvision's MNIST, without a download: 28 x 28 grey digits with labels 0 to 9.

    `subset=True` takes the bundled 6,000 training and 1,000 test images, `False` the full set of 60,000 and 10,000,
    `None` the full set if it is found. Images are PIL images unless `transform` changes them.

    Raises:
        ConfigError: `subset=False` and the full set is nowhere.
        StorageError: as for `dataset_dir`.
    """
    from torchvision.datasets import MNIST

    return MNIST(dataset_dir(subset=subset), train=train, transform=transform)


def mnist_root() -> Path | None:
    """The folder F with all four files in F/MNIST/raw, compressed or not: PLAYGROUND_DATA, the cache, or None."""
    read = settings.read()
    return next((root for root in (read.data, read.cache) if root and _sources(root)), None)


def dataset_dir(*, subset: bool | None = None) -> Path:
    """The folder F where `torchvision.datasets.MNIST(F, download=True)` finds everything and downloads nothing.

    All parties of a user share it. It is PLAYGROUND_DATA itself if the files there are uncompressed; otherwise they are
    extracted into the cache, once and safely if several processes begin together. `subset` is that of `mnist`.

    Raises:
        ConfigError: `subset=False` and the full set is nowhere.
        StorageError: an archive is damaged, or the cache is full or not writable.
    """
    root = None if subset else mnist_root()
    if root is None and subset is False:
        raise ConfigError(
            "the full MNIST data set was not found",
            next_step=f"set PLAYGROUND_DATA to a folder with {RAW}/{FILES[0]}.gz and the other three files",
        )
    _say_once(_origin(root))
    sources = _sources(root or BUNDLED)
    if root and not any(source.suffix == ".gz" for source in sources):
        return root
    try:
        return _extracted(sources)
    except OSError as error:
        raise StorageError(
            f"MNIST could not be prepared in the cache: {error}",
            next_step="free some space (60 MB), or set PLAYGROUND_CACHE to a folder that is writable",
        ) from error


def split_iid(samples: int, parties: int, *, seed: int = 0) -> list[list[int]]:
    """Shuffle and deal out: every index once, sizes differing by at most one.

    Raises:
        ConfigError: fewer samples than parties, or no party.
    """
    _check_parties(samples, parties, "samples")
    shuffled = np.random.default_rng(seed).permutation(samples)
    return [np.sort(part).tolist() for part in np.array_split(shuffled, parties)]


def split_by_label(labels: npt.ArrayLike, parties: int, *, shards_per_party: int = 2, seed: int = 0) -> list[list[int]]:
    """Sort by label, cut into equal shards and deal those out (McMahan et al., 2017): few labels for each party.

    Raises:
        ConfigError: fewer samples than shards, or no party.
    """
    classes = _classes(labels)
    if shards_per_party < 1:
        raise ConfigError(f"shards_per_party={shards_per_party} leaves parties without data", next_step="use 1 or more")
    _check_parties(len(classes), parties, "samples")
    _check_parties(len(classes), parties * shards_per_party, "samples", "shards")
    shards = np.array_split(np.argsort(classes, kind="stable"), parties * shards_per_party)
    dealt = np.random.default_rng(seed).permutation(len(shards)).reshape(parties, shards_per_party)
    return [np.sort(np.concatenate([shards[shard] for shard in hand])).tolist() for hand in dealt]


def split_dirichlet(labels: npt.ArrayLike, parties: int, *, alpha: float = 0.5, seed: int = 0) -> list[list[int]]:
    """Parties of equal size whose label mix is drawn from a Dirichlet distribution (Hsu et al., 2019).

    Party by party, q ~ Dir(alpha * classes * prior), so Dir(alpha, …, alpha) for balanced classes; then labels are
    drawn from q as long as there are samples left. A large alpha (100) is nearly iid, a small one (0.1) nearly one
    label a party. The parties that come last get what is left.

    Raises:
        ConfigError: fewer samples than parties, no party, or an alpha outside 0.001 to 1,000,000.
    """
    if not SMALLEST_ALPHA <= alpha <= LARGEST_ALPHA:
        raise ConfigError(f"alpha={alpha} is not between {SMALLEST_ALPHA} and {LARGEST_ALPHA:.0f}", next_step="try 0.5")
    classes = _classes(labels)
    _check_parties(len(classes), parties, "samples")
    generator = np.random.default_rng(seed)
    pools = [generator.permutation(np.flatnonzero(classes == label)) for label in range(classes.max() + 1)]
    left = np.array([len(pool) for pool in pools])
    prior = left / left.sum()
    result = []
    for size in (len(part) for part in np.array_split(classes, parties)):
        mix = generator.dirichlet(alpha * len(pools) * prior)
        taken = _draw(generator, mix, left, size)
        left = left - taken
        picked = [pool[rest : rest + count] for pool, rest, count in zip(pools, left, taken, strict=True)]
        result.append(np.sort(np.concatenate(picked)).tolist())
    return result


def split_columns(width: int, parties: int) -> list[slice]:
    """Neighbouring columns for each party, widths differing by at most one (the first parties hold the wider ones).

    Raises:
        ConfigError: fewer columns than parties, or no party.
    """
    _check_parties(width, parties, "columns")
    bounds = [width // parties * party + min(party, width % parties) for party in range(parties + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]


def label_counts(labels: npt.ArrayLike, indices: Sequence[int]) -> list[int]:
    """How many of `indices` have the labels 0, 1, … up to the largest label of the whole data set.

    Raises:
        ConfigError: labels that are not whole numbers from 0.
    """
    values = _vector(labels)
    if values.dtype.kind not in "iu" or values.min() < 0:
        raise ConfigError(f"labels of dtype {values.dtype} cannot be counted", next_step="use whole numbers from 0")
    chosen = values[np.asarray(indices, dtype=np.int64)]
    return cast("list[int]", np.bincount(chosen, minlength=int(values.max()) + 1).tolist())


def _draw(
    generator: np.random.Generator, mix: npt.NDArray[np.float64], left: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.int64]:
    """How many of each class: `size` in all, in proportions `mix` as far as `left` allows."""
    taken = np.zeros_like(left)
    while (missing := size - int(taken.sum())) > 0:  # each pass but the last exhausts a class
        rest = left - taken
        weights = np.where(rest > 0, mix, 0.0)
        if not math.isfinite(total := float(weights.sum())) or total <= 0:
            weights, total = rest.astype(np.float64), float(rest.sum())
        taken = taken + np.minimum(generator.multinomial(missing, weights / total), rest)
    return taken


def _check_parties(amount: int, parties: int, what: str, unit: str = "parties") -> None:
    if parties < 1:
        raise ConfigError(f"{what} cannot be split among {parties} {unit}", next_step="use 1 or more")
    if amount < parties:
        raise ConfigError(
            f"{amount} {what} do not suffice for {parties} {unit}", next_step=f"use fewer {unit} or more {what}"
        )


def _vector(labels: npt.ArrayLike) -> npt.NDArray[Any]:
    values = np.asarray(labels)
    if values.ndim != 1 or not values.size:
        raise ConfigError(
            f"labels of shape {values.shape} are not one label a sample", next_step="pass dataset.targets"
        )
    return values


def _classes(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The labels, whatever they are, as numbers 0, 1, … without gaps."""
    return np.unique(_vector(labels), return_inverse=True)[1].reshape(-1).astype(np.int64)


# --- MNIST's files


def _sources(root: Path) -> list[Path]:
    """The four files below `root`, uncompressed where possible; [] if one is missing."""
    raw = root / RAW
    found = [next((path for path in (raw / name, raw / f"{name}.gz") if path.is_file()), None) for name in FILES]
    return [path for path in found if path] if all(found) else []


def _origin(root: Path | None) -> str:
    if root is not None:
        return f"MNIST: the data set found in {root}"
    data = settings.read().data
    reason = f"{data} holds no {RAW}" if data else f"PLAYGROUND_DATA can name a folder with the full set in {RAW}"
    return f"MNIST: the bundled subset of 6,000 training and 1,000 test images ({reason})"


@cache
def _say_once(text: str) -> None:
    logger.info(text)


def _extracted(sources: Sequence[Path]) -> Path:
    """The folder of the cache that holds these files uncompressed. Files appear whole, so readers need no lock."""
    endings = [_ending(source) for source in sources]
    digest = hashlib.sha256(b"".join(endings)).hexdigest()[:12]
    root = settings.read().cache / "datasets" / f"mnist-{digest}"
    raw = root / RAW
    raw.mkdir(parents=True, exist_ok=True)
    for name, source, ending in zip(FILES, sources, endings, strict=True):
        target = raw / name
        size = int.from_bytes(ending[4:], "little")
        if not target.is_file() or target.stat().st_size != size:
            _extract(source, target)
    return root


def _ending(source: Path) -> bytes:
    """Checksum and length of the uncompressed file, 4 bytes each, as they stand at the end of a gzip file."""
    if source.suffix != ".gz":
        content = source.read_bytes()
        return zlib.crc32(content).to_bytes(4, "little") + len(content).to_bytes(4, "little")
    size = source.stat().st_size
    if size < 18:  # gzip's own header and ending; Python reads an empty file as an empty archive
        raise _damaged(source, "it is cut off")
    with source.open("rb") as file:
        file.seek(size - 8)
        return file.read(8)


def _extract(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    opener = gzip.open if source.suffix == ".gz" else open
    try:
        with opener(source, "rb") as archive, temporary.open("xb") as file:
            shutil.copyfileobj(cast(BinaryIO, archive), file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o444)  # shared by all parties
        temporary.replace(target)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(source, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(source: Path, why: object) -> StorageError:
    return StorageError(f"{source} is damaged: {why}", next_step="replace it by an undamaged copy")
