"""`playground doctor`: is everything there that notebooks need, and what to do about what is not."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from playground_ext import settings
from playground_ext.errors import PlaygroundError
from playground_ext.runner.screen import columns, size_text

__all__ = ["Finding", "examine", "findings_text"]

OLDEST = (3, 11)
ROOM = 1_000_000_000  # bytes that should be free where runs, data and the parties' folders go
ROLES = ("aggregator", "collaborator", "host")

Kind = Literal["ok", "note", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    kind: Kind
    text: str
    advice: str | None = None


def examine() -> Iterator[Finding]:
    """Look at everything, one after the other."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("torch", _torch),
        ("torchvision", _torchvision),
        ("server", _server),
        ("kernels", _kernels),
        ("JupyterLab", _lab),
        ("data", _data),
    ]
    for what, check in checks:
        try:
            yield check()
        except PlaygroundError as error:
            yield Finding(what, "problem", error.what, error.next_step)
        except (
            Exception
        ) as error:  # a broken installation fails in ways of its own, and the rest is still worth knowing
            first = (str(error).splitlines() or [""])[0]
            yield Finding(what, "problem", f"{type(error).__name__}: {first}", "install playground-ext again")
    try:
        yield from _folders()
    except PlaygroundError as error:
        yield Finding("disk", "problem", error.what, error.next_step)


def findings_text(findings: list[Finding], *, as_json: bool) -> tuple[int, str]:
    """All findings, and the exit code: 1 if one is a problem."""
    problems = sum(finding.kind == "problem" for finding in findings)
    code = 1 if problems else 0
    if as_json:
        return code, msgspec.json.format(msgspec.json.encode(findings), indent=2).decode()
    rows = [[f"{finding.kind:<7}", finding.what, finding.text] for finding in findings]
    lines = columns(rows, indent="")
    indent = " " * (9 + max(len(finding.what) for finding in findings) + 2)
    shown = []
    for finding, line in zip(findings, lines, strict=True):
        shown.append(line)
        if finding.advice and finding.kind != "ok":
            shown.append(f"{indent}→ {finding.advice}")
    end = "Everything is there." if not problems else f"{problems} problem{'s' if problems != 1 else ''}."
    return code, "\n".join([*shown, "", end])


def _python() -> Finding:
    text = f"{sys.version.split()[0]}, {sys.executable}"
    if sys.version_info < OLDEST:
        return Finding("Python", "problem", text, "use Python 3.11 or newer")
    return Finding("Python", "ok", text)


def _torch() -> Finding:
    advice = "pip install torch torchvision (about 3 GB to download)"
    try:
        torch = import_module("torch")
    except ImportError as error:
        return Finding("torch", "problem", f"cannot be imported: {error}", advice)
    gpus = int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    device = f"{gpus} GPU{'s' if gpus != 1 else ''}" if gpus else "CPU only, which is enough"
    return Finding("torch", "ok", f"{torch.__version__}, {device}")


def _torchvision() -> Finding:
    advice = "install both from one index, so that they fit: pip install --force-reinstall torch torchvision"
    try:
        torchvision = import_module("torchvision")
        import_module("torchvision.datasets")
    except (ImportError, RuntimeError, OSError) as error:  # compiled for another torch: RuntimeError
        first = (str(error).splitlines() or [""])[0]
        return Finding("torchvision", "problem", f"cannot be imported: {first}", advice)
    return Finding("torchvision", "ok", str(torchvision.__version__))


def _server() -> Finding:
    from playground_ext.bus.connection import Connection, mask_password
    from playground_ext.bus.server import EmbeddedServer, find_binary

    given = settings.read().redis_url
    if given is not None:
        with Connection(given, name="playground-doctor", timeout=5.0) as connection:
            policy = cast("dict[str, str]", connection.client.info("memory")).get("maxmemory_policy")
        where = f"PLAYGROUND_REDIS_URL: {mask_password(given)} answers"
        if policy not in (None, "noeviction"):
            advice = "configure it with `maxmemory-policy noeviction`"
            return Finding("server", "problem", f"{where}, but may drop messages ({policy})", advice)
        return Finding("server", "ok", where)
    binary = find_binary()
    with EmbeddedServer() as server, Connection(server.url, timeout=5.0) as connection:
        version = cast("dict[str, str]", connection.client.info("server"))
        name = f"valkey {version['valkey_version']}" if "valkey_version" in version else version["redis_version"]
    return Finding("server", "ok", f"embedded, {name}, {binary}")


def _kernels() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    found: dict[str, str] = KernelSpecManager().find_kernel_specs()
    missing = [role for role in ROLES if f"playground-{role}" not in found]
    if missing:
        text = f"{', '.join(missing)} not found by Jupyter in {sys.prefix}"
        return Finding("kernels", "problem", text, "pip install --force-reinstall --no-deps playground-ext")
    return Finding("kernels", "ok", ", ".join(f"playground-{role}" for role in ROLES))


def _lab() -> Finding:
    try:
        version = metadata.version("jupyterlab")
    except metadata.PackageNotFoundError:
        return Finding("JupyterLab", "note", "not installed here", "any Jupyter front end does: pip install jupyterlab")
    from jupyter_core.paths import jupyter_path

    extension = _extension(Path(folder) for folder in jupyter_path("labextensions"))
    text = f"{version}, " + (f"with the extension {extension}" if extension else "without the Playground's extension")
    advice = None if extension else "notebooks work without it; its panel and launcher do not"
    return Finding("JupyterLab", "ok" if extension else "note", text, advice)


def _extension(folders: Iterator[Path]) -> str | None:
    """Name and version of our extension for JupyterLab, where it is installed."""
    for folder in folders:
        for manifest in (*folder.glob("playground*/package.json"), *folder.glob("@*/playground*/package.json")):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                said: dict[str, Any] = msgspec.json.decode(manifest.read_bytes(), type=dict[str, Any])
                return f"{said.get('name')} {said.get('version')}"
    return None


def _data() -> Finding:
    from playground_ext.data import mnist_root

    known, found = settings.read(), mnist_root()
    if found:
        return Finding("data", "ok", f"the full MNIST in {found}")
    if known.data is not None:
        text = f"PLAYGROUND_DATA={known.data} holds no complete MNIST/raw, so the bundled subset is used"
        return Finding("data", "problem", text, "`playground data` says what has to lie there; or unset it")
    return Finding("data", "ok", "the bundled subset of MNIST; `playground data mnist` fetches the full set")


def _folders() -> Iterator[Finding]:
    """Room and permission where things are written; where sockets go, that nobody else can enter."""
    from playground_ext.bus.private_folder import runtime_folder

    known = settings.read()
    places = {"PLAYGROUND_RUNS": known.runs, "PLAYGROUND_HOME": known.home, "PLAYGROUND_CACHE": known.cache}
    for variable, folder in places.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        text = f"{size_text(free)} free, {folder}"
        if not _writable(there):
            yield Finding("disk", "problem", f"{folder} is not writable", f"set {variable} to another folder")
        elif free < ROOM:
            yield Finding("disk", "problem", text, f"`playground clean` removes old runs; or set {variable}")
        else:
            yield Finding("disk", "ok", text)
    yield Finding("disk", "ok", f"sockets in {runtime_folder()}")


def _writable(folder: Path) -> bool:
    """Tried, because permissions do not tell it for root, full disks and read-only mounts."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
