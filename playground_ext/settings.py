"""The only reader of the environment: every setting with its unit and default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from playground_ext.errors import ConfigError

__all__ = ["Settings", "read"]

CHECK_IN_INTERACTIVE = 600.0  # seconds that a person gets to start the other notebooks
REPAIR = 1800.0  # seconds that the others wait for a party that failed, where they wait at all
CHECK_IN_BATCH = 120.0  # seconds that parties started by a program get


@dataclass(frozen=True)
class Settings:
    """What the environment says. Paths are absolute; nothing is created by reading."""

    redis_url: str | None  # PLAYGROUND_REDIS_URL: redis://, rediss:// or unix://; None means an embedded server
    task: str | None  # PLAYGROUND_TASK
    party: str | None  # PLAYGROUND_PARTY
    nodes: tuple[str, ...]  # PLAYGROUND_NODES: all parties, comma separated, the initiator first
    role: str | None  # PLAYGROUND_ROLE
    home: Path  # PLAYGROUND_HOME: the parties' private folders; default ~/.local/share/playground
    cache: Path  # PLAYGROUND_CACHE: downloaded data sets; default ~/.cache/playground
    data: Path | None  # PLAYGROUND_DATA: a folder that holds data sets (MNIST/raw/…)
    runs: Path  # PLAYGROUND_RUNS: where `playground run` leaves its results; default ./runs
    workspace: Path  # PLAYGROUND_WORKSPACE: its notebooks share a server; default the git checkout, else cwd
    runtime: Path  # PLAYGROUND_RUNTIME: sockets, on a local disk with a short path; default /tmp/playground-<uid>
    templates: tuple[Path, ...]  # PLAYGROUND_TEMPLATES: folders of templates, separated like PATH
    notebook: str | None  # PLAYGROUND_NOTEBOOK, else Jupyter's JPY_SESSION_NAME: the notebook this kernel runs
    check_in_timeout: float | None  # PLAYGROUND_CHECK_IN_TIMEOUT, seconds; None: 600 interactive, 120 batch
    log_level: str  # PLAYGROUND_LOG_LEVEL: default INFO
    on_party_failure: str | None = None  # PLAYGROUND_ON_PARTY_FAILURE: stop or wait; default wait if interactive
    repair_timeout: float | None = None  # PLAYGROUND_REPAIR_TIMEOUT, seconds; None: REPAIR
    keep_rounds: str | None = None  # PLAYGROUND_KEEP_ROUNDS: how many rounds are recorded for replay, or "all"
    replay: str | None = None  # PLAYGROUND_REPLAY: <a party's run folder>:<round>, to run that round again, alone
    resume: bool = False  # PLAYGROUND_RESUME: 1 goes on with the run this party has not finished, others alive or not
    warm: bool = True  # PLAYGROUND_WARM: 0 starts every kernel as an ordinary process
    matplotlib_backend: str | None = None  # MPLBACKEND: how matplotlib shows figures; ipykernel sets it
    compat: str | None = None  # PLAYGROUND_COMPAT: alphafed uses ours even where AlphaMed's own package is installed
    datasets: tuple[tuple[str, Path], ...] = ()  # PLAYGROUND_DATASETS: /data/MNIST=FOLDER,… read there instead


def read() -> Settings:
    """Read the environment now; nothing is cached, so that tests and notebooks can change it."""
    env = os.environ
    home = Path.home()
    data_home = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
    cache_home = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    return Settings(
        redis_url=env.get("PLAYGROUND_REDIS_URL") or None,
        task=env.get("PLAYGROUND_TASK") or None,
        party=env.get("PLAYGROUND_PARTY") or None,
        nodes=tuple(node.strip() for node in env.get("PLAYGROUND_NODES", "").split(",") if node.strip()),
        role=env.get("PLAYGROUND_ROLE") or None,
        home=_path(env.get("PLAYGROUND_HOME"), data_home / "playground"),
        cache=_path(env.get("PLAYGROUND_CACHE"), cache_home / "playground"),
        data=_path(env["PLAYGROUND_DATA"]) if env.get("PLAYGROUND_DATA") else None,
        runs=_path(env.get("PLAYGROUND_RUNS"), Path("runs")),
        workspace=_path(env.get("PLAYGROUND_WORKSPACE"), _checkout(Path.cwd())),
        runtime=_path(env.get("PLAYGROUND_RUNTIME"), Path(f"/tmp/playground-{_user()}")),
        templates=tuple(_path(entry) for entry in env.get("PLAYGROUND_TEMPLATES", "").split(os.pathsep) if entry),
        notebook=env.get("PLAYGROUND_NOTEBOOK") or env.get("JPY_SESSION_NAME") or None,
        check_in_timeout=_seconds("PLAYGROUND_CHECK_IN_TIMEOUT", env.get("PLAYGROUND_CHECK_IN_TIMEOUT")),
        log_level=env.get("PLAYGROUND_LOG_LEVEL", "INFO").upper(),
        on_party_failure=env.get("PLAYGROUND_ON_PARTY_FAILURE") or None,
        repair_timeout=_seconds("PLAYGROUND_REPAIR_TIMEOUT", env.get("PLAYGROUND_REPAIR_TIMEOUT")),
        keep_rounds=env.get("PLAYGROUND_KEEP_ROUNDS") or None,
        replay=env.get("PLAYGROUND_REPLAY") or None,
        resume=env.get("PLAYGROUND_RESUME", "") == "1",
        warm=env.get("PLAYGROUND_WARM", "1") != "0",
        matplotlib_backend=env.get("MPLBACKEND") or None,
        compat=env.get("PLAYGROUND_COMPAT") or None,
        datasets=_mapping("PLAYGROUND_DATASETS", env.get("PLAYGROUND_DATASETS", "")),
    )


def _path(value: str | None, default: Path | None = None) -> Path:
    chosen = Path(value) if value else default
    if chosen is None:
        raise ConfigError("an empty path was given where a folder is needed")
    return Path(os.path.abspath(chosen.expanduser()))


def _checkout(folder: Path) -> Path:
    """The git checkout around `folder`, else `folder`: notebooks beside and below each other meet at one server."""
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _mapping(name: str, value: str) -> tuple[tuple[str, Path], ...]:
    """`/here=/there,/other=/place`: absolute paths that are read elsewhere."""
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    if wrong := [place for place, _, folder in pairs if not (os.path.isabs(place) and folder)]:
        raise ConfigError(
            f"{name}: {wrong[0]!r} is not mapped to a folder", next_step=f"write {name}=/data/MNIST=/path/to/a/folder"
        )
    return tuple((os.path.normpath(place), _path(folder)) for place, _, folder in pairs)


def _seconds(name: str, value: str | None) -> float | None:
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{name}={value!r} is not a number", next_step=f"give seconds, or unset {name}") from None


def _user() -> int | str:
    return os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
