"""MNIST for notebooks that would download it, absolute paths that this machine does not have, and FedMNIST."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from alphamed_documents import changed, code_blocks

from playground_ext.compat import mapped_paths
from playground_ext.compat.mapped_paths import map_paths, missing_paths
from playground_ext.errors import ConfigError

CHECKER = code_blocks("004_hetero_nn_guide.txt")[0]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("it tried the network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", refuse)


@pytest.fixture
def mapping():
    """Paths may be mapped; afterwards everything is as before."""
    yield
    mapped_paths._mapping.clear()
    mapped_paths._put_back()


def test_a_download_takes_what_is_here(alphafed, no_network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import alphafed.fed_avg  # noqa: F401
    from torchvision.datasets import MNIST

    monkeypatch.chdir(tmp_path)

    assert len(MNIST("data", train=True, download=True)) == 6000  # the bundled subset
    assert not (tmp_path / "data").exists()


def test_files_below_root_come_first(alphafed, no_network, tmp_path: Path, sixty_thousand: Path, monkeypatch):
    import alphafed.fed_avg  # noqa: F401
    from torchvision.datasets import MNIST

    monkeypatch.chdir(sixty_thousand.parent)

    assert len(MNIST(sixty_thousand.name, train=False, download=True)) == 10_000


def test_a_class_of_the_users_gets_the_files_where_it_looks_for_them(alphafed, no_network, tmp_path: Path):
    import alphafed.fed_avg  # noqa: F401
    from torchvision.datasets import MNIST, FashionMNIST

    class Halves(MNIST):
        pass

    assert len(Halves(tmp_path, train=False, download=True)) == 1000
    assert (tmp_path / "Halves" / "raw" / "t10k-labels-idx1-ubyte").is_symlink()
    with pytest.raises(AssertionError, match="it tried the network"):  # digits are no clothes
        FashionMNIST(tmp_path, download=True)


def test_fed_mnist_has_ten_equal_parts(alphafed, no_network, tmp_path: Path):
    from alphafed.dataset.mnist import FedMNIST

    whole = FedMNIST(tmp_path, train=True, download=True)
    third = FedMNIST(root=tmp_path, train=True, transform=None, download=True, client_ids=3)
    two = FedMNIST(tmp_path, train=False, download=True, client_ids=[10, 2])

    # 6,000 training and 1,000 test images: 600 and 100 a part
    assert (len(whole), len(third), len(two)) == (6000, 600, 200)
    assert torch.equal(third.data, whole.data[1200:1800])
    assert torch.equal(third.targets, whole.targets[1200:1800])
    everything = FedMNIST(tmp_path, train=False, download=True)
    assert torch.equal(two.data, torch.cat([everything.data[100:200], everything.data[900:]]))
    for wrong in (0, 11, [1, 12], []):
        with pytest.raises(ConfigError, match="names a part that does not exist"):
            FedMNIST(tmp_path, client_ids=wrong, download=True)


def test_the_documents_check_names_the_file_that_is_not_there(alphafed, caplog: pytest.LogCaptureFixture):
    if os.path.exists("/data/MNIST"):
        pytest.skip("this machine has /data/MNIST")
    names: dict[str, object] = {}
    exec(compile(CHECKER, "document", "exec"), names)

    assert names["checker"].execute_verification() is False
    assert "/data/MNIST/t10k-images-idx3-ubyte cannot be found" in caplog.text
    assert "PLAYGROUND_DATASETS=/data/MNIST=FOLDER" in caplog.text


def test_the_documents_check_passes_where_its_folder_is_mapped(
    alphafed, mapping, tmp_path: Path, sixty_thousand: Path, monkeypatch: pytest.MonkeyPatch
):
    """The document looks for eight files in /data/MNIST, and torchvision for four in /data/MNIST/MNIST/raw."""
    import playground_ext.compat

    shutil.copytree(sixty_thousand, tmp_path / "digits")
    for name in ("t10k-images", "t10k-labels", "train-images", "train-labels"):
        kind = "idx3" if "images" in name else "idx1"
        for ending in ("", ".gz"):
            (tmp_path / "digits" / f"{name}-{kind}-ubyte{ending}").touch()
    monkeypatch.setenv("PLAYGROUND_DATASETS", f"/data/MNIST={tmp_path / 'digits'}")
    playground_ext.compat.install()
    names: dict[str, object] = {}
    source = changed(CHECKER, {"execute_verification()": "submit()"})  # 0.4.9's name
    exec(compile(source, "document", "exec"), names)

    assert names["checker"].execute_verification() is True


def test_mapped_paths_are_read_elsewhere_and_all_others_where_they_are(mapping, tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_text("text")
    map_paths([("/nowhere/at/all", tmp_path / "here")])

    assert os.listdir("/nowhere/at/all") == ["file"]
    assert Path("/nowhere/at/all/file").read_text() == "text"
    with open(file="/nowhere/at/all/../all/file") as file:
        assert file.read() == "text"
    assert not os.path.exists("/nowhere/at/all/other")
    assert not os.path.exists("/nowhere/at/allelse")
    assert (tmp_path / "here" / "file").read_text() == "text"
    assert os.stat in os.supports_dir_fd  # so that shutil.rmtree stays safe
    shutil.rmtree(tmp_path / "here")


def test_missing_paths_are_noted_only_inside(tmp_path: Path):
    original = os.stat
    with missing_paths() as missing:
        assert not os.path.exists("/nowhere/a")
        assert not os.path.isfile("/nowhere/b")
        assert not os.path.exists("/nowhere/a")
        assert not os.path.exists("relative")

    assert missing == ["/nowhere/a", "/nowhere/b"]
    assert os.stat is original
