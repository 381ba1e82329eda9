"""`import alphafed`: ours, the installed one, or an error that names what is not covered."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

import playground_ext.compat
from playground_ext.errors import ConfigError

REAL = "WHO = 'the real one'\n"


def test_any_python_finds_it_after_install_and_torch_is_not_imported():
    code = (
        "import sys, playground_ext.compat as compat; compat.install(); compat.install()\n"
        "before = 'torch' in sys.modules\n"
        "import alphafed, alphafed.fs, alphafed.contractor, alphafed.data_channel\n"
        "from alphafed import logger, mock_context, is_mock_mode\n"
        "finders = [finder for finder in sys.meta_path if 'Alphafed' in str(finder)]\n"
        "print(before, 'torch' in sys.modules, alphafed.__name__, len(finders))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["False", "False", "playground_ext.compat.alphafed", "1"]
    assert "alphafed: the Playground's own (playground_ext.compat.alphafed) is used" in done.stderr


def test_both_names_are_one_module(alphafed):
    theirs = importlib.import_module("alphafed.contractor")

    assert theirs is importlib.import_module("playground_ext.compat.alphafed.contractor")
    assert theirs.__spec__.name == "playground_ext.compat.alphafed.contractor"


def test_a_package_that_is_really_installed_wins_unless_the_setting_says_otherwise(
    alphafed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "alphafed").mkdir()
    (tmp_path / "alphafed" / "__init__.py").write_text(REAL)
    (tmp_path / "alphafed" / "own.py").write_text("HERE = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with caplog.at_level(logging.INFO, "playground"):
        found = importlib.import_module("alphafed")

    assert found.WHO == "the real one"
    assert importlib.import_module("alphafed.own").HERE
    assert f"the package installed in {tmp_path}/alphafed/__init__.py is used" in caplog.text
    assert "PLAYGROUND_COMPAT=alphafed" in caplog.text

    for name in ("alphafed", "alphafed.own"):
        del sys.modules[name]
    monkeypatch.setenv("PLAYGROUND_COMPAT", "alphafed")
    assert importlib.import_module("alphafed").__name__ == "playground_ext.compat.alphafed"


def test_what_is_not_covered_is_named_with_the_page_that_says_what_is(alphafed):
    with pytest.raises(ModuleNotFoundError, match=r"alphafed\.auto_ml is not covered .*coming_from_alphafed\.ipynb"):
        importlib.import_module("alphafed.auto_ml")
    with pytest.raises(ImportError, match="cannot import name 'AutoModel'"):
        exec("from alphafed import AutoModel")


def test_a_setting_that_makes_no_sense_is_named(alphafed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_COMPAT", "betafed")
    with pytest.raises(ConfigError, match="PLAYGROUND_COMPAT='betafed'"):
        importlib.import_module("alphafed")
    monkeypatch.setenv("PLAYGROUND_DATASETS", "data=here")
    with pytest.raises(ConfigError, match="PLAYGROUND_DATASETS: 'data' is not mapped to a folder"):
        playground_ext.compat.install()


def test_a_party_kernel_has_installed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager = KernelManager(connection_file=str(tmp_path / "kernel.json"))
    manager._kernel_spec = KernelSpec(argv=[sys.executable, "-m", "playground_ext.kernel", "-f", "{connection_file}"])
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        said: list[str] = []
        client.execute_interactive(
            "import alphafed.contractor; print(alphafed.__name__)",
            timeout=60,
            output_hook=lambda message: said.append(str(message["content"])),
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)

    assert "playground_ext.compat.alphafed\\n" in "".join(said)
