"""A federation that is to be attacked: its server, its parties in processes of their own, and what they leave."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import redis
from restarted_server import RestartedServer
from scripted_parties import ScriptedParties

from playground_ext.bus.private_folder import PAYLOADS

__all__ = ["HANG", "PARTIES", "Battlefield", "difference"]

HANG = 60.0  # seconds after which a federation that takes 2 hangs
HERE = Path(__file__).parent

PARTIES = {
    "fed_avg": ("aggregator", "collaborator-1", "collaborator-2"),
    "fed_avg_quorum": ("aggregator", "collaborator-1", "collaborator-2"),
    "fed_sgd": ("aggregator", "collaborator-1", "collaborator-2"),
    "secure_fed_avg": ("aggregator", "collaborator-1", "collaborator-2"),
    "hetero_nn": ("host", "collaborator-1"),
    "psi_ecdh": ("initiator", "collaborator-1", "collaborator-2"),
    "psi_rsa": ("initiator", "collaborator-1"),
}
IN_CHUNKS = ("fed_avg_quorum",)  # whose large payloads lie on the server, so that both ways are struck


class Battlefield:
    """One run of a scenario of `chaos_parties`, in a temporary folder of its own. `server`: options of its server.

    `recovery` off: nobody waits for whoever fails, nobody starts the server again, and nobody waits long for it.
    """

    def __init__(
        self,
        scenario: str,
        *,
        nodes: Sequence[str] | None = None,
        recovery: bool = True,
        options: Mapping[str, Any] | None = None,
        **server: Any,
    ) -> None:
        self.scenario = scenario
        self.nodes = tuple(nodes or PARTIES[scenario])
        self.recovery = recovery
        self.options = dict(options or {})
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.home = self.folder / "home"
        for name in ("scripts", "tmp", "runtime", "user"):
            (self.folder / name).mkdir(mode=0o700)
        self.server = RestartedServer(
            self.folder / "server", restarts=recovery, **{"files": scenario not in IN_CHUNKS, **server}
        )
        self.parties = ScriptedParties(self.folder / "scripts")
        self.keep = False

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.parties.kill()
        self.server.__exit__(None, None, None)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- parties ----------------------------------------------------------------------------------------------------

    def start_all(self, **deeds: Any) -> None:
        """Start everybody; `deeds`: what a party does besides, by its name with an underscore for the dash."""
        for party in self.nodes:
            deed = deeds.pop(party.replace("-", "_"), None)
            self.start(party, deeds=[deed] if deed else [])
        if deeds:
            raise ValueError(f"no such parties: {', '.join(deeds)}")

    def start(
        self,
        party: str,
        *,
        again: bool = False,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        **plan: Any,
    ) -> Any:
        """Start a party, as `chaos_parties.main` says. `again`: it goes back to the run that it was in.

        `name`: of the process and its files, by default the party's. Returns the process.
        """
        name = name or (f"{party}-again" if again else party)
        plan = {
            "scenario": self.scenario,
            "party": party,
            "nodes": self.nodes,
            "options": self.options,
            "on_party_failure": "wait" if self.recovery else "stop",
            "impatient": not self.recovery,
            "answer": str(self.folder / f"{party}.answer"),
            "error": str(self.folder / f"{name}.error"),
            "steps": str(self.folder / f"{name}.steps"),
            "server_pid": str(self.server.pid_file),
            **plan,
        }
        source = f"""
import json, sys
sys.path.insert(0, {str(HERE)!r})
from chaos_parties import main
main(json.loads({json.dumps(plan)!r}))
"""
        environment = {
            "PLAYGROUND_REDIS_URL": self.server.url,
            "PLAYGROUND_HOME": str(self.home),
            "PLAYGROUND_RUNTIME": str(self.folder / "runtime"),
            "PLAYGROUND_CACHE": str(self.folder / "user" / "cache"),
            "PLAYGROUND_CHECK_IN_TIMEOUT": "30",
            "PLAYGROUND_REPAIR_TIMEOUT": "45",
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "user"),
            **({"PLAYGROUND_RESUME": "1"} if again else {}),
            **(env or {}),
        }
        return self.parties.start(name, source, environment)

    def process(self, name: str) -> Any:
        return self.parties.process(name)

    def join(self, timeout: float = HANG) -> list[str]:
        """Wait for all; who is still running after `timeout` seconds."""
        return self.parties.join(timeout)

    def run_folder(self, party: str) -> Path:
        """Of its newest run."""
        return (self.home / "chaos" / party / "latest").resolve()

    # -- what came of it --------------------------------------------------------------------------------------------

    def answers(self) -> dict[str, Any]:
        """What each party ended with; parties that did not come to their end are missing."""
        files = {party: self.folder / f"{party}.answer" for party in self.nodes}
        return {party: json.loads(file.read_text()) for party, file in files.items() if file.exists()}

    def error(self, name: str) -> dict[str, Any]:
        """The error that ended a party: `kind`, `text`, and the `shown` lines of a notebook. Empty without one."""
        file = self.folder / f"{name}.error"
        return json.loads(file.read_text()) if file.exists() else {}

    def output(self, name: str) -> str:
        return self.parties.output(name)

    def steps(self, name: str) -> list[str]:
        """The protocol steps it has passed, in order."""
        file = self.folder / f"{name}.steps"
        return file.read_text().splitlines() if file.exists() else []

    def what_is_left(self) -> str:
        """Processes, connections, payloads, half-written files, folders outside the run's home; empty if nothing is."""
        for process in psutil.process_iter():
            try:
                if process.pid != self.server.pid and process.cwd().startswith(str(self.folder)):
                    return f"process {process.pid} is left: {' '.join(process.cmdline())[:200]}"
            except psutil.Error:
                continue
        with self.redis() as client:
            others = [c["name"] for c in client.client_list() if c["id"] != str(client.client_id())]
            payloads = [key.decode() for key in client.keys("*:b:*")]
        files = [path for path in (self.server.folder / PAYLOADS).rglob("*") if path.is_file()]
        payloads += [str(path) for path in files if path.suffix != ".free"]  # of a party that was killed
        if payloads:
            return f"payloads are left: {', '.join(payloads)}"
        if others:
            return f"connections are left: {', '.join(others)}"
        litter = [path for name in ("tmp", "runtime", "user") for path in (self.folder / name).iterdir()]
        litter += [path for pattern in ("*.tmp", "*.new", ".latest-*") for path in self.home.rglob(pattern)]
        return f"files are left: {', '.join(str(path.relative_to(self.folder)) for path in litter[:5])}" * bool(litter)

    def evidence(self) -> str:
        """The end of what everybody has printed."""
        files = sorted((self.folder / "scripts").glob("*.py.err"))
        return "\n".join(f"--- {file.stem}\n{file.read_text(errors='replace')[-4000:]}" for file in files)

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.server.folder / "s"))


def difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The first difference between two `answers()`; empty if everybody has the same, bit for bit."""
    if silent := [party for party in expected if party not in found]:
        return f"no result at {', '.join(silent)}"
    for party, wanted in expected.items():
        for name, value in wanted.items():
            if found[party].get(name) != value:
                return f"{party}'s {name} differ: {str(found[party].get(name))[:300]} instead of {str(value)[:300]}"
    return ""
