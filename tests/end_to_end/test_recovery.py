"""`playground run --restart-failed` and `playground resume`: whatever dies in the middle of a round, the final model is
that of a run in which nothing did.

The federation has a model of 22 numbers and data of its own, so that a run takes no longer than its kernels.
"""

from __future__ import annotations

import hashlib
import json
import signal
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from sandbox import Notebook, Sandbox, wait_until

from playground_ext.bus.server import EmbeddedServer
from playground_ext.party.lease import is_held

TINY = """
    import os, signal
    from pathlib import Path

    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from playground_ext import settings
    from playground_ext.bus.connection import Connection
    from playground_ext.fed_avg import FedAvgScheduler

    quorum = None

    def once(name):
        "Whether this is the first time, in this run folder."
        try:
            Path(name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_server():
        with Connection(settings.read().redis_url) as connection:
            os.kill(connection.client.info("server")["process_id"], signal.SIGKILL)

    def disturb(party, round, moment):
        pass

    class Tiny(FedAvgScheduler):
        def build_model(self):
            return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2), nn.Linear(4, 2, bias=False))[:3]

        def build_optimizer(self, model):
            return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def build_train_dataloader(self):
            generator = torch.Generator().manual_seed(ord(self.id[-1]))
            x, y = torch.randn(48, 4, generator=generator), torch.randint(0, 2, (48,), generator=generator)
            return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)

        def train_an_epoch(self):
            self.model.train()
            for number, (x, y) in enumerate(self.train_loader):
                if number == 1:
                    disturb(self.id, self.current_round, "training")
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            return {"loss": loss.item()}

        def aggregate(self, updates):
            disturb(self.id, self.current_round, "aggregating")
            return super().aggregate(updates)

        def _save_model(self):
            disturb(self.id, self.current_round, "saving")
            return super()._save_model()

        def run_test(self):
            return {"accuracy": sum(weight.detach().abs().sum().item() for weight in self.model.parameters()) / 100}

    def play():
        scheduler = Tiny(max_rounds=4, log_rounds=1, calculation_timeout=60, seed=3, quorum=quorum)
        return scheduler.launch_task()
"""
PARTIES = ("aggregator", "collaborator-1", "collaborator-2")


def federation(folder: Path, disturbance: str = "", **cells: list[str]) -> Path:
    """`disturbance`: code at the end of tiny.py. `cells`: of single parties, with _ for -."""
    folder.mkdir()
    (folder / "tiny.py").write_text(textwrap.dedent(TINY) + textwrap.dedent(disturbance))
    for party in PARTIES:
        sources = cells.get(party.replace("-", "_"), ["from tiny import play", "result = play()"])
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        nbformat.write(notebook, folder / f"{party}.ipynb")
    return folder


def when(party: str, round: int, action: str, moment: str = "training") -> str:
    return f"""
        def disturb(party, round, moment):
            if (party, round, moment) == ({party!r}, {round}, {moment!r}):
                {action}
    """


def model_hash(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def accuracies(run: Path) -> list[tuple[int, float]]:
    (entries,) = json.loads((run / "summary.json").read_text())["accuracy"].values()
    return [(entry["round"], entry["accuracy"]) for entry in entries]


@pytest.fixture(scope="module")
def undisturbed(shared_sandbox: Sandbox) -> Path:
    job = shared_sandbox.playground("run", federation(shared_sandbox.folder / "tiny"), "--task", "t")
    assert job.wait() == 0, job.output
    return shared_sandbox.folder / "runs" / "t"


@pytest.mark.parametrize(
    ("party", "disturbance"),
    [
        ("collaborator-2", when("collaborator-2", 2, "once('killed') and die()")),
        ("aggregator", when("aggregator", 2, "once('killed') and die()", "aggregating")),
    ],
)
def test_a_kernel_that_is_killed_is_started_again_and_the_model_is_the_same(sandbox, undisturbed, party, disturbance):
    folder = federation(sandbox.folder / "mine", disturbance)

    job = sandbox.playground("run", folder, "--task", "t", "--restart-failed", "1")

    assert job.wait() == 0, job.output
    run = sandbox.folder / "runs" / "t"
    assert (run / "killed").exists()
    (line,) = [line for line in job.output.splitlines() if "starting it again" in line]
    assert line.startswith(f"{party} failed: KernelDied: the kernel was killed by SIGKILL")
    assert "attempt 1 of 1" in line
    assert model_hash(run) == model_hash(undisturbed)
    assert accuracies(run) == accuracies(undisturbed), "every round once"
    assert "KernelDied" in Notebook(run / "attempts" / f"{party}.attempt-1.ipynb").errors
    assert Notebook(run / f"{party}.ipynb").errors == ""
    said = {entry["party"]: entry for entry in json.loads((run / "summary.json").read_text())["parties"]}
    assert [entry["type"] for entry in said[party]["attempts"]] == ["KernelDied"]
    assert all(entry["status"] == "ok" for entry in said.values())
    assert sandbox.left_behind() == []


def test_the_server_is_started_again_when_it_is_killed(sandbox, undisturbed):
    folder = federation(sandbox.folder / "mine", when("collaborator-1", 2, "once('killed') and kill_server()"))

    job = sandbox.playground("run", folder, "--task", "t")

    assert job.wait() == 0, job.output
    run = sandbox.folder / "runs" / "t"
    assert (run / "killed").exists()
    assert job.output.count("The server died; it was started again") == 1
    assert model_hash(run) == model_hash(undisturbed)
    assert accuracies(run) == accuracies(undisturbed)
    assert sandbox.left_behind() == []


def test_a_failed_run_is_resumed_when_the_bug_is_mended(sandbox, undisturbed):
    bug = "assert Path('mended').exists(), 'a bug'"
    folder = federation(sandbox.folder / "mine", when("collaborator-2", 3, bug))
    run = sandbox.folder / "runs" / "t"
    failed = sandbox.playground("run", folder, "--task", "t")
    assert failed.wait() == 1
    assert "go on from the last checkpoint: playground resume t" in failed.output

    (run / "mended").touch()
    job = sandbox.playground("resume", "t")

    assert job.wait() == 0, job.output
    assert "Resuming t: it goes on after round 2." in job.output
    assert model_hash(run) == model_hash(undisturbed)
    assert accuracies(run) == accuracies(undisturbed)
    rounds = [json.loads(line)["round"] for line in (run / "logs.jsonl").read_text().splitlines()]
    assert {1, 2, 3, 4} <= set(rounds), "the log of both parts"
    suite = ElementTree.parse(run / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "0")
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["resumed"]) == ("ok", 1)
    assert "AssertionError: a bug" in Notebook(run / "attempts" / "collaborator-2.attempt-1.ipynb").errors

    again = sandbox.playground("resume", "t")
    assert again.wait() == 2
    assert f"t has finished: there is nothing to resume; the result is in {run}" in again.output
    assert sandbox.left_behind() == []


def test_a_killed_run_is_resumed_with_the_modules_as_they_are_now(sandbox, undisturbed):
    folder = federation(
        sandbox.folder / "mine", when("collaborator-1", 3, "torch.ones(1); import time; time.sleep(60)")
    )
    run = sandbox.folder / "runs" / "t"
    killed = sandbox.playground("run", folder, "--task", "t")
    checkpoint = "parties/t/collaborator-1/*/checkpoints/round-000002.pt"
    wait_until(lambda: list(run.glob(checkpoint)), 100, "round 2 was not reached")
    running = sandbox.playground("resume", "t")
    assert running.wait() == 2
    assert "t is running" in running.output

    killed.process.send_signal(signal.SIGKILL)
    killed.wait()
    leases = [run / "parties" / "t" / party / "lease" for party in PARTIES]
    wait_until(lambda: not any(map(is_held, leases)), 20, "a kernel outlived its runner")
    module = folder / "tiny.py"
    module.write_text(module.read_text().replace("time.sleep(60)", "pass"))
    job = sandbox.playground("resume", "runs/t")

    assert job.wait() == 0, job.output
    assert "Resuming t: it goes on after round 2." in job.output
    assert model_hash(run) == model_hash(undisturbed)
    assert accuracies(run) == accuracies(undisturbed)


def test_a_run_whose_end_one_party_missed_is_resumed_on_a_server_that_still_knows_it(sandbox, undisturbed):
    others = "{path.parts[2] for path in Path('parties').glob('t/*/*/results/report.json')}"
    wait = f"[__import__('time').sleep(0.05) for _ in range(400) if len({others}) < 2]"  # it alone misses the end
    bug = f"assert Path('mended').exists() or {wait} == 0, 'a bug'"
    folder = federation(sandbox.folder / "mine", when("collaborator-2", 4, bug, "saving"))
    run = sandbox.folder / "runs" / "t"
    with EmbeddedServer() as server:
        failed = sandbox.playground("run", folder, "--task", "t", PLAYGROUND_REDIS_URL=server.url)
        assert failed.wait() == 1
        assert list(run.glob("parties/t/aggregator/*/results/report.json")), "the others had come to their end"
        (run / "mended").touch()
        job = sandbox.playground("resume", "t", PLAYGROUND_REDIS_URL=server.url)
        assert job.wait() == 0, job.output

    assert "it goes on after round 4" in job.output
    assert "round 1 | trained" not in job.output, "said before"
    assert model_hash(run) == model_hash(undisturbed)
    models = list(run.glob("parties/t/*/latest/results/model.safetensors"))
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in models} == {model_hash(undisturbed)}
    assert len(models) == 3


def test_a_collaborator_that_is_lost_does_not_stop_a_run_with_a_quorum(sandbox):
    lost = "\n        quorum = 1\n" + when("collaborator-2", 2, "raise ValueError('out of film')")
    folder = federation(sandbox.folder / "mine", lost)

    job = sandbox.playground("run", folder, "--task", "t")

    assert job.wait() == 0, job.output
    run = sandbox.folder / "runs" / "t"
    assert "2 of 3 notebooks ran to their end" in job.output
    assert "collaborator-2 was lost, the others went on (quorum 1): ValueError: out of film" in job.output
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["first_failure"]) == ("ok", None)
    assert {entry["party"]: entry["status"] for entry in summary["parties"]} == {
        "aggregator": "ok",
        "collaborator-1": "ok",
        "collaborator-2": "lost",
    }
    assert [round for round, _ in accuracies(run)] == [1, 2, 3, 4]
    assert sandbox.left_behind() == []
