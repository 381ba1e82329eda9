"""`%party`: who this notebook is, what the others do, their last lines, and waiting for them."""

from __future__ import annotations

import time
from typing import Any

from playground_ext import settings
from playground_ext.bus.connection import Connection
from playground_ext.errors import ConfigError
from playground_ext.kernel.others import TaskView, last_lines, look, wait_for_all
from playground_ext.kernel.whoami import Identity, identify

__all__ = ["load_ipython_extension", "unload_ipython_extension"]

USAGE = """%party            who I am, the others' state and last sign of life
%party logs [N]   the last N lines of all parties (20)
%party wait [S]   wait until all others are here, at most S seconds (600)"""
LINES = 20
WAIT = 600.0  # seconds


def load_ipython_extension(shell: Any) -> None:
    """IPython's hook: `%load_ext playground_ext.kernel.magic`; party kernels do it by themselves."""

    def party(line: str) -> None:
        """Who I am and what the others do; `%party logs [N]`, `%party wait [seconds]`."""
        command, *rest = line.split() or ["who"]
        me = identify(shell.user_ns)
        if command == "who" and not rest:
            _show(me)
        elif command == "logs" and len(rest) <= 1:
            _show_logs(me, int(_number(rest, LINES)))
        elif command == "wait" and len(rest) <= 1:
            _wait(me, _number(rest, WAIT))
        else:
            raise ConfigError(f"%party {line} is nothing I know", next_step=f"use one of these:\n{USAGE}")

    shell.register_magic_function(party, "line", "party")


def unload_ipython_extension(shell: Any) -> None:
    shell.magics_manager.magics["line"].pop("party", None)


def _show(me: Identity) -> None:
    print(me)
    if me.task is None:
        return
    if (url := _url()) is None:
        print("No server runs yet for this folder's notebooks, so nobody else is here.")
        return
    with Connection(url, name=f"{me.task}:{me.party}:magic") as connection:
        view = look(connection, me.task, me.nodes, me=me.party)
    print(_table(view))


def _show_logs(me: Identity, count: int) -> None:
    task, url = _task(me), _url()
    lines = []
    if url is not None:
        with Connection(url, name=f"{task}:{me.party}:magic") as connection:
            lines = last_lines(connection, task, count)
    for line in lines:
        clock = time.strftime("%H:%M:%S", time.localtime(line.time))
        level = "" if line.level == "INFO" else f" {line.level}"
        place = "" if line.round is None else f" round {line.round}"
        print(f"{clock} {line.party}{place}{level} | {line.text}")
    if not lines:
        print(f"No lines of task {task} on the server.")


def _wait(me: Identity, timeout: float) -> None:
    from playground_ext.party.context import server_url

    task = _task(me)

    def tell(missing: list[str]) -> None:
        if missing:
            print(f"waiting for {', '.join(missing)}", flush=True)

    with Connection(server_url(), name=f"{task}:{me.party}:magic") as connection:
        view = wait_for_all(connection, task, me.nodes, me=me.party, timeout=timeout, on_change=tell)
    if missing := view.missing():
        print(f"{', '.join(missing)} did not come within {timeout:g} s")
    elif not view.parties:
        print("nobody else is expected: this notebook has not said yet who the parties are")
    else:
        print(f"all others are here: {', '.join(view.parties)}")


def _table(view: TaskView) -> str:
    run = "There is no run of it yet" if view.run is None else f"Run {view.run} is {view.status}"
    rows = [("party", "state", "last sign of life")]
    for party, state in view.parties.items():
        of_round = "" if state.round is None else f" in round {state.round}"
        rows.append((party, f"{state.state}{of_round}", state.sign or "-"))
    if len(rows) == 1:
        return f"{run}."
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join([f"{run}.", *(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)])


def _url() -> str | None:
    """Where the parties meet, without starting a server."""
    from playground_ext.bus.shared import shared_server_status

    if (url := settings.read().redis_url) is not None:
        return url
    status = shared_server_status()
    return None if status is None else status.url


def _task(me: Identity) -> str:
    if me.task is None:
        raise ConfigError("this notebook has not said yet which task it belongs to", next_step="run its first cells")
    return me.task


def _number(words: list[str], default: float) -> float:
    if not words:
        return default
    try:
        number = float(words[0])
    except ValueError:
        number = -1.0
    if number < 0:
        raise ConfigError(f"{words[0]!r} is no number of lines or seconds", next_step=USAGE)
    return number
