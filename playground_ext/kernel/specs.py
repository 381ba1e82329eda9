"""The kernelspecs of the roles, and installing them where a Jupyter will look."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

import playground_ext.errors
from playground_ext.errors import StorageError, TemplateError

__all__ = ["ROLES", "install", "source_of"]

ROLES = ("aggregator", "collaborator", "host")


def source_of(role: str) -> Path:
    """The folder with a role's kernel.json and logos: in a checkout, else where the package was installed.

    Raises:
        TemplateError: neither is there.
    """
    checkout = Path(playground_ext.errors.__file__).parents[1] / "kernels" / role
    installed = Path(sysconfig.get_path("data")) / "share" / "jupyter" / "kernels" / f"playground-{role}"
    for folder in (checkout, installed):
        if (folder / "kernel.json").is_file():
            return folder
    raise TemplateError(f"the kernelspec of {role} was not installed", next_step="install playground-ext again")


def install(*, prefix: Path | None = None, user: bool = False, warm: bool | None = None) -> list[Path]:
    """Write the kernelspecs with this interpreter's absolute path; the folders written.

    Args:
        prefix: below it, in share/jupyter/kernels; default: this environment's.
        user: in the user's own Jupyter folder instead.
        warm: name the provisioner that forks. A Jupyter in whose environment this package is missing does not show
            such kernels at all, so by default only this environment's get it.

    Raises:
        StorageError: they cannot be written.
    """
    from jupyter_core.paths import jupyter_data_dir

    data = Path(jupyter_data_dir()) if user else (prefix or Path(sys.prefix)) / "share" / "jupyter"
    own = not user and (prefix is None or prefix.resolve() == Path(sys.prefix).resolve())
    written = []
    for role in ROLES:
        source, folder = source_of(role), data / "kernels" / f"playground-{role}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.resolve() != source.resolve():
                for logo in source.glob("logo-*"):
                    shutil.copyfile(logo, folder / logo.name)
            spec = json.loads((source / "kernel.json").read_text("utf-8"))
            spec = _with_interpreter(spec, own if warm is None else warm)
            (folder / "kernel.json").write_text(json.dumps(spec, indent=2, ensure_ascii=False) + "\n", "utf-8")
        except OSError as error:
            raise StorageError(
                f"the kernelspec {folder} cannot be written: {error.strerror or error}",
                next_step="choose --user or another --prefix",
            ) from error
        written.append(folder)
    return written


def _with_interpreter(spec: dict[str, Any], warm: bool) -> dict[str, Any]:
    spec["argv"] = [sys.executable, "-m", "playground_ext.kernel", "-f", "{connection_file}"]
    if not warm:
        spec.get("metadata", {}).pop("kernel_provisioner", None)
    return spec
