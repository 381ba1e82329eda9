"""`playground data`: which digits would be used, and fetching all of them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import msgspec

from playground_ext import settings
from playground_ext.data import BUNDLED, FILES, RAW, mnist_root
from playground_ext.errors import PlaygroundError, StorageError

__all__ = ["data_text", "download_mnist"]

SILENCE = 30.0  # seconds without a byte after which a server is given up


def data_text(*, as_json: bool) -> str:
    """Which copy of MNIST notebooks would get now, and why."""
    known, found = settings.read(), mnist_root()
    if as_json:
        said: dict[str, Any] = {
            "mnist": "full" if found else "subset",
            "folder": str(found or BUNDLED),
            "PLAYGROUND_DATA": None if known.data is None else str(known.data),
            "cache": str(known.cache),
        }
        return msgspec.json.format(msgspec.json.encode(said), indent=2).decode()
    lines = []
    if known.data is not None and found != known.data:
        lines.append(f"PLAYGROUND_DATA={known.data} holds no complete {RAW}.")
    if found:
        lines += [f"mnist  the full set of 60,000 and 10,000 digits, in {found / RAW}"]
    else:
        lines += [
            f"mnist  the bundled subset of 6,000 and 1,000 digits, in {BUNDLED / RAW}",
            "",
            f"`playground data mnist` fetches the full set (11 MB) into {known.cache}.",
            f"If you have it: set PLAYGROUND_DATA to the folder that holds {RAW}/{FILES[0]}.gz and the other three.",
        ]
    return "\n".join(lines)


def download_mnist() -> tuple[Path, bool]:
    """Fetch the full MNIST into the cache, unless a full set is found; its folder, and whether it was fetched.

    Progress goes to stderr. The files are checked and unpacked in a folder of their own and appear all at once.

    Raises:
        PlaygroundError: no mirror answers, or what it sends is not MNIST.
        StorageError: the cache cannot be written.
    """
    if (found := mnist_root()) is not None:
        return found, False
    cache = settings.read().cache
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".mnist-", dir=cache))
    except OSError as error:
        raise StorageError(
            f"{cache} cannot be written: {error.strerror}",
            next_step="set PLAYGROUND_CACHE to a folder that is writable",
        ) from error
    try:
        _download(draft)
        for name in FILES:
            (draft / RAW / f"{name}.gz").unlink(missing_ok=True)
            (draft / RAW / name).chmod(0o444)  # all parties share it
        target = cache / RAW.parent
        if target.exists():  # an incomplete set, or somebody else was faster
            shutil.rmtree(target, ignore_errors=True)
        (draft / RAW.parent).rename(target)
    except OSError as error:
        raise StorageError(
            f"MNIST cannot be put into {cache}: {error.strerror or error}",
            next_step="free some space (70 MB), or set PLAYGROUND_CACHE to another folder",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return cache, True


def _download(root: Path) -> None:
    from torchvision.datasets import MNIST

    try:
        with _silence_limit(), contextlib.redirect_stdout(sys.stderr):
            MNIST(str(root), download=True)
    except (RuntimeError, URLError, TimeoutError, ConnectionError) as error:
        mirrors = " and ".join(MNIST.mirrors)
        raise PlaygroundError(
            f"MNIST could not be downloaded from {mirrors}",
            next_step=f"go on with the bundled subset, or copy {RAW}/ from a machine that has it into a folder, and "
            "set PLAYGROUND_DATA to that folder",
            details=str(error),
        ) from error


@contextlib.contextmanager
def _silence_limit() -> Iterator[None]:
    """torchvision sets no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
