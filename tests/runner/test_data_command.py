"""`playground data`: torchvision's download from a server of our own, and what is said without a network."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from playground_ext.data import BUNDLED, FILES, RAW, dataset_dir, mnist, mnist_root
from playground_ext.errors import PlaygroundError
from playground_ext.runner.data_command import data_text, download_mnist


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def torchvision_mnist() -> Any:
    """Its class, imported when it is needed: collecting this file must not take two seconds."""
    return pytest.importorskip("torchvision.datasets").MNIST


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, torchvision_mnist: Any) -> Iterator[Callable[[Path], None]]:
    """Let a folder's four files be torchvision's only mirror; the checksums are those of the bundled subset."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Silent, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(torchvision_mnist, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        names = [f"{name}.gz" for name in FILES]
        sums = [hashlib.md5((BUNDLED / RAW / name).read_bytes()).hexdigest() for name in names]
        monkeypatch.setattr(torchvision_mnist, "resources", list(zip(names, sums, strict=True)))

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLAYGROUND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_download_is_found_by_everybody_afterwards(serve, cache, capsys, torchvision_mnist):
    serve(BUNDLED / RAW)
    assert "the bundled subset" in data_text(as_json=False)

    assert download_mnist() == (cache, True)

    assert "100%" in capsys.readouterr().err, "progress"
    assert mnist_root() == cache
    assert dataset_dir() == cache
    assert len(mnist(train=True)) == 6000
    assert len(torchvision_mnist(str(cache), download=True)) == 6000
    assert sorted(path.name for path in (cache / RAW).iterdir()) == sorted(FILES)
    assert not [path for path in (cache / RAW).iterdir() if path.stat().st_mode & 0o222], "read-only: parties share it"
    assert "the full set" in data_text(as_json=False)
    assert json.loads(data_text(as_json=True))["folder"] == str(cache)
    assert download_mnist() == (cache, False), "once is enough"


def test_what_is_not_mnist_is_refused_and_leaves_nothing(serve, cache, tmp_path):
    for name in FILES:
        (tmp_path / f"{name}.gz").write_bytes(b"a page that says: please log in")
    serve(tmp_path)

    with pytest.raises(PlaygroundError, match="could not be downloaded") as caught:
        download_mnist()

    assert "corrupted" in str(caught.value)
    assert list(cache.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do(serve, cache, monkeypatch, torchvision_mnist):
    serve(BUNDLED / RAW)
    monkeypatch.setattr(torchvision_mnist, "mirrors", ["http://127.0.0.1:1/"])  # nobody listens there

    with pytest.raises(PlaygroundError) as caught:
        download_mnist()

    text = str(caught.value)
    assert "could not be downloaded from http://127.0.0.1:1/" in text
    assert "bundled subset" in text
    assert "PLAYGROUND_DATA" in text
    assert list(cache.iterdir()) == []


def test_an_incomplete_set_is_replaced(serve, cache):
    (cache / RAW).mkdir(parents=True)
    (cache / RAW / FILES[0]).write_bytes(b"half of it")
    serve(BUNDLED / RAW)

    download_mnist()

    assert len(mnist(train=True)) == 6000


def test_a_data_folder_without_data_is_mentioned(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))

    assert f"PLAYGROUND_DATA={tmp_path} holds no complete MNIST/raw" in data_text(as_json=False)


def test_the_commands_say_so_too(playground):
    code, output = playground("data", PLAYGROUND_CACHE=str(playground.folder / "cache"))

    assert code == 0
    assert "playground data mnist" in output
    assert "mnist" in playground("data", "--help")[1]
