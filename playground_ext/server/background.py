"""Runs in the background: `playground run` in a session of its own, so that neither page nor Jupyter ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from playground_ext import settings
from playground_ext.bus.keys import check_name
from playground_ext.errors import ConfigError, ServerError
from playground_ext.party.context import server_url
from playground_ext.party.lease import machine
from playground_ext.runner.history import Record, find_records
from playground_ext.runner.plan import Plan
from playground_ext.runner.templates import load
from playground_ext.server import orders
from playground_ext.server.federations import plan_for, template_named
from playground_ext.server.orders import RunOrder
from playground_ext.server.paths import Root
from playground_ext.server.refusals import BadField, Conflict, NotFound
from playground_ext.server.wire import Failure, Party, Task

__all__ = ["Background"]

_RUNNER_LEASE = ".runner"
# SIGINT is ignored by whatever a Jupyter starts that a shell has put into the background. To a runner both are one.
_STOP = signal.SIGTERM
_STOPPED = (128 + _STOP, -_STOP)  # how a runner ends that this met before it had a run folder
_BEGIN = 60.0  # seconds that a runner may take to begin
_LOOK = 0.1  # seconds between two looks whether it has
_SHOWN = 3600.0  # seconds for which a run that ended without a run folder is listed


@dataclass
class _Started:
    """A runner that this Jupyter server started."""

    plan: Plan
    process: subprocess.Popen[bytes]
    began: float
    log: Path


class Background:
    """Starts and stops runners. Any thread may call."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._started: dict[str, _Started] = {}

    def start(self, order: RunOrder) -> str:
        """Begin a run; the name of its task.

        Raises:
            BadField: naming what is wrong.
            Conflict: a task of that name was run already.
            ServerError: there is no server, and none can be started.
            StorageError: the order cannot be written.
        """
        with self._lock:
            plan = self._plan(order)
            target = str(plan.template.folder)
            arguments = ["run", target, "--task", plan.task, "--parties", str(len(plan.parties))]
            for name, value in plan.values.items():
                arguments += ["-p", f"{name}={value}"]
            self._launch(plan, arguments)
            orders.keep(plan.task, msgspec.structs.replace(order, task=None))
        return plan.task

    def rerun(self, record: Record) -> str:
        """The same order again, as a new task.

        Raises:
            Conflict: it runs, or it was not started by JupyterLab and is no template either.
        """
        if record.active:
            raise Conflict(f"{record.name} is running", next_step="stop it, then run it again")
        order = orders.kept(record.folder.name)
        if order is None:
            roles: dict[str, int] = {}
            for party in record.parties:
                role = str(party.summary.get("role", ""))
                roles[role] = roles.get(role, 0) + 1
            order = RunOrder(str(record.template), dict(record.summary.get("parameters") or {}), roles)
        try:
            return self.start(order)
        except BadField as error:
            raise Conflict(
                f"{record.name} cannot be run again from here: {error.what}",
                next_step="run its federation folder again in a terminal: playground run FOLDER",
            ) from error

    def resume(self, record: Record) -> None:
        """`playground resume`. Returns when the runner has begun.

        Raises:
            Conflict: it cannot be resumed, or its runner refuses to, in the runner's words.
            ServerError: there is no server, and none can be started.
        """
        from playground_ext.runner.resume import examine

        name = record.folder.name
        try:
            examine(record)
        except ConfigError as error:
            raise Conflict(error.what, next_step=error.next_step) from error
        log = orders.log_of(name)
        with self._lock:
            process = _spawn(["resume", name], log, self._root)
        deadline = time.monotonic() + _BEGIN
        while time.monotonic() < deadline and not record.active:
            with contextlib.suppress(subprocess.TimeoutExpired):  # else look again: a file tells that it has begun
                code = process.wait(_LOOK)
                if code and not record.active:
                    text = orders.last_words(log)
                    why = _message(text).removeprefix("Error: ")
                    raise Conflict(f"{name} could not be resumed: {why}", next_step=_next_step(text))
                return

    def stop(self, record: Record | None, name: str) -> None:
        """Ctrl-C for the runner.

        Raises:
            Conflict: it does not run, or its notebooks are run by hand.
            NotFound: no such task.
        """
        with self._lock:
            started = self._started.get(name)
        ending = record is not None and not record.active  # it has written its results and is about to leave
        if started is not None and started.process.poll() is None and not ending:
            started.process.send_signal(_STOP)
            return
        if record is None:
            raise NotFound(f"there is no task {name!r}")
        if record.template is None:
            raise Conflict(
                f"the notebooks of {name} run in their own kernels",
                next_step="interrupt them: the page that asked does so itself",
            )
        pid = _runner(record.folder)
        if pid is None or not record.active:
            raise Conflict(f"{name} is not running", next_step="look at its notebooks in the run folder")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, _STOP)

    def pending(self, name: str) -> Task | None:
        """A run that was started and has no run folder yet, or ended without one."""
        with self._lock:
            started = self._started.get(name)
        if started is None:
            return None
        code = started.process.poll()
        ended, stopped = code is not None, code in _STOPPED
        if code == 0:
            return None  # it had a run folder, which somebody removed
        text = orders.last_words(started.log) if ended else ""
        failure = Failure(name, "PlaygroundError", _message(text), text) if ended and not stopped else None
        parties = [
            Party(
                party.name,
                party.role,
                "not started" if ended else "starting its kernel",
                "missing" if ended else "waiting",
            )
            for party in started.plan.parties
        ]
        return Task(
            task=name,
            status="interrupted" if stopped else "failed" if ended else "waiting",
            created=started.began,
            source="background",
            parties=parties,
            notebooks={},
            failure=failure,
            title=started.plan.template.title,
            rounds=started.plan.rounds,
        )

    def pendings(self) -> list[Task]:
        """All of these that began lately."""
        with self._lock:
            names = [name for name, started in self._started.items() if time.time() - started.began < _SHOWN]
        return [task for name in names if (task := self.pending(name)) is not None]

    def running(self, name: str) -> bool:
        with self._lock:
            started = self._started.get(name)
        return started is not None and started.process.poll() is None

    def forget(self, name: str) -> bool:
        """Remove the order and what the runner printed; whether there was anything."""
        with self._lock:
            known = self._started.pop(name, None) is not None
        return orders.forget(name) or known

    def _plan(self, order: RunOrder) -> Plan:
        folder = self._root.inside(order.path) if isinstance(order.path, str) else None
        if folder is not None and order.path and folder.is_dir():
            template = load(folder)
        elif "/" not in order.path and not _folder_like(order.path):
            template = template_named(order.path)
        else:
            raise BadField("path", f"there is no folder {order.path!r}")
        used = {record.folder.name for record in find_records()} | {record.task for record in find_records()}
        used |= set(self._started)
        if order.task is not None:
            try:
                check_name("the task's name", order.task)
            except ConfigError as error:
                raise BadField("task", error.what, next_step=error.next_step) from error
            if order.task in used:
                raise Conflict(
                    f"a task {order.task} was run already", next_step="take another name, or delete that one"
                )
            task = order.task
        else:
            stem = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in template.name)[:40]
            task = stem = f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"
            number = 1
            while task in used:
                number += 1
                task = f"{stem}-{number}"
        return plan_for(template, order.roles, order.parameters, task=task)

    def _launch(self, plan: Plan, arguments: list[str]) -> None:
        log = orders.log_of(plan.task)
        process = _spawn(arguments, log, self._root)
        self._started[plan.task] = _Started(plan, process, time.time(), log)


def _folder_like(path: str) -> bool:
    """Whether it can only have been meant as a folder."""
    return not path or path.startswith((".", "~")) or path.endswith(".ipynb")


def _spawn(arguments: list[str], log: Path, root: Root) -> subprocess.Popen[bytes]:
    known = settings.read()
    environment = {
        **os.environ,
        "PLAYGROUND_REDIS_URL": server_url(),
        "PLAYGROUND_RUNS": str(known.runs),
        "PLAYGROUND_WORKSPACE": str(known.workspace),
        "COLUMNS": "100",
    }
    command = [sys.executable, "-m", "playground_ext.runner", *arguments]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=root.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ServerError(f"`playground {arguments[0]}` cannot be started: {error}") from error
    # Nobody else waits for it: without this it would stay a zombie until Jupyter ends.
    threading.Thread(target=process.wait, name=f"playground-reaper-{process.pid}", daemon=True).start()
    return process


def _runner(folder: Path) -> int | None:
    """The process of the runner that holds a run's folder."""
    try:
        said = msgspec.json.decode((folder / _RUNNER_LEASE).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return None
    pid = said.get("pid")
    return pid if isinstance(pid, int) and pid > 1 and said.get("host") == machine() else None


def _message(text: str) -> str:
    """The line that says what was wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Error: ")), lines[-1] if lines else "it ended at once")


def _next_step(text: str) -> str | None:
    """What the runner advises."""
    lines = (line.strip() for line in text.splitlines())
    return next((line.removeprefix("next:").strip() for line in lines if line.startswith("next:")), None)
