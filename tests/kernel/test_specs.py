"""Kernelspecs, and the kernel as a front end starts it that knows nothing of provisioners."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from paths import CHECKOUT

from playground_ext.errors import StorageError
from playground_ext.kernel.provisioner import NAME
from playground_ext.kernel.specs import ROLES, install, source_of


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_kernelspec_with_logos(role):
    folder = source_of(role)
    spec = json.loads((folder / "kernel.json").read_text())

    assert spec["display_name"] == f"{role.capitalize()} (Playground)"
    assert spec["argv"] == ["python", "-m", "playground_ext.kernel", "-f", "{connection_file}"]
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == NAME
    assert {path.name for path in folder.glob("logo-*")} == {"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}


def test_the_provisioner_is_an_entry_point_of_the_package():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

    point = project["entry-points"]["jupyter_client.kernel_provisioners"][NAME]
    assert point == "playground_ext.kernel.provisioner:ZygoteProvisioner"


def test_other_environments_get_the_interpreter_and_no_provisioner_that_they_lack(tmp_path):
    folders = install(prefix=tmp_path)

    assert [folder.name for folder in folders] == [f"playground-{role}" for role in ROLES]
    for folder in folders:
        spec = json.loads((folder / "kernel.json").read_text())
        assert spec["argv"] == [sys.executable, "-m", "playground_ext.kernel", "-f", "{connection_file}"]
        assert "kernel_provisioner" not in spec["metadata"]
        assert (folder / "logo-svg.svg").is_file()


def test_the_provisioner_can_be_asked_for_and_a_users_folder_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))

    (folder, *_) = install(user=True, warm=True)

    assert folder == tmp_path / "kernels" / "playground-aggregator"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == NAME


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "share").write_text("a file")

    with pytest.raises(StorageError, match="cannot be written"):
        install(prefix=tmp_path)


def test_the_module_alone_is_a_complete_party_kernel(runtime, tmp_path):
    file, _ = write_connection_file(str(tmp_path / "kernel.json"), transport="ipc", ip=str(runtime / "alone"))
    command = [sys.executable, "-m", "playground_ext.kernel", "-f", file]
    (tmp_path / "ipykernel.py").write_text("raise ImportError('a module beside the notebook')")
    with subprocess.Popen(command, cwd=tmp_path, env=dict(os.environ)) as process:
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            said: list[str] = []
            client.execute_interactive(
                "%party\nimport os; print(os.getpid())",
                timeout=30,
                output_hook=lambda message: said.append(message["content"].get("text", "")),
            )
            client.shutdown()
            assert process.wait(timeout=10) == 0
        finally:
            client.stop_channels()
            process.kill()
            client.context.destroy(linger=0)
    assert "This notebook has not said yet who it is" in "".join(said)
    assert str(process.pid) in "".join(said)
    assert Path(file).parent == tmp_path
