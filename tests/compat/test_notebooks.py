"""Notebooks of AlphaMed's users, executed by papermill: both generations in one folder, and an own algorithm."""

from __future__ import annotations

import pytest
from alphamed_documents import write_notebook
from sandbox import Notebook, Sandbox

TASK = "cbb3ffd0-838c-41ca-a41a-7c11cae29181"
NODES = ["d54a3af2-83e2-4da6-bc8d-2dc03634612c", "2d7514b7-f2fc-4f6c-8d88-849339bd268a"]
COMMON = f"""import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from alphafed import logger, mock_context
from alphafed.fed_avg import FedAvgScheduler, register_metrics

task_id, nodes = {TASK!r}, {NODES!r}
torch.manual_seed(0)
data = TensorDataset(torch.randn(32, 3), torch.randint(2, (32,)))"""
SINCE_2023 = """class Avg(FedAvgScheduler):
    def build_model(self):
        return nn.Linear(3, 2)

    def build_optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

    def build_train_dataloader(self):
        return DataLoader(data, batch_size=16)

    def build_test_dataloader(self):
        return DataLoader(data, batch_size=32)

    def state_dict(self):
        return self.model.state_dict()

    def load_state_dict(self, state_dict):
        self.model.load_state_dict(state_dict)

    def train_an_epoch(self):
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

    def run_test(self):
        self.tb_writer.add_scalar('test_results/accuracy', 0.5, self.current_round)
        logger.info('tested')"""
OF_2022 = """class Avg(FedAvgScheduler):
    def make_model(self):
        return nn.Linear(3, 2)

    def make_optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.1)

    def make_train_dataloader(self):
        return DataLoader(data, batch_size=16)

    def make_test_dataloader(self):
        return DataLoader(data, batch_size=32)

    def train(self):
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()
        logger.info('trained as in 2022')

    @register_metrics(name='test_results', keys=['accuracy'])
    def test(self):
        self.get_metrics('test_results').append_metrics_item({'accuracy': 0.5})"""
LEAD = """scheduler = Avg(max_rounds=2, log_rounds=1)
with mock_context(id=nodes[0], nodes=nodes):
    scheduler._run(id=nodes[0], task_id=task_id, is_initiator=True)"""
FOLLOW = """scheduler = Avg(min_clients=1, max_clients=2, name='mine', max_rounds=2)
with mock_context(id=nodes[1], nodes=nodes):
    scheduler._run(id=nodes[1], task_id=task_id)"""
# In the same notebooks, and the same task: what they have to tell one another afterwards.
TALK = """from alphafed.contractor import TaskMessageContractor
from alphafed.data_channel import SharedFileDataChannel

contractor = TaskMessageContractor(task_id=task_id)
channel = SharedFileDataChannel(contractor)
with mock_context(id=nodes[ME], nodes=[*nodes[::-1], 'never-comes']):
    channel.send_stream(nodes[ME], nodes[1 - ME], f'from {ME}'.encode())
    source, received = channel.receive_stream(nodes[ME], nodes[1 - ME])
    print(source == nodes[1 - ME], received)"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_generations_and_an_algorithm_of_ones_own_in_one_folder(sandbox: Sandbox):
    folder = sandbox.folder / "mine"
    folder.mkdir()
    first, second = TALK.replace("ME", "0"), TALK.replace("ME", "1")
    write_notebook(folder / "aggregator.ipynb", [COMMON, SINCE_2023, LEAD, first], kernel="alphamed-py38")
    write_notebook(folder / "party_2022.ipynb", [COMMON, OF_2022, FOLLOW, second])

    job = sandbox.playground("run", folder, "--task", "mine")
    code = job.wait(280)

    assert code == 0, job.output
    aggregator, party = (
        Notebook(sandbox.folder / "runs" / "mine" / f"{name}.ipynb") for name in ("aggregator", "party_2022")
    )
    assert "True b'from 1'" in aggregator.printed
    assert "True b'from 0'" in party.printed
    assert aggregator.lines[NODES[1], 2, "trained as in 2022"] == 1
    assert party.lines[NODES[0], 2, "tested"] == 1
    assert "alphafed: the Playground's own" in aggregator.printed
    assert "party_2022 | round 2 | trained as in 2022" in job.output


def test_a_round_in_which_one_party_rested_is_replayed_by_all_three(sandbox: Sandbox):
    folder = sandbox.folder / "some"
    folder.mkdir()
    nodes = [*NODES, "3c9a2f54-0b6e-4d0a-9d53-8f1e7a6c2b11"]
    common = COMMON.replace(repr(NODES), repr(nodes))
    names = ("aggregator", "first", "second")
    for place, name in enumerate(names):
        run = f"""scheduler = Avg(max_clients=1, max_rounds=2)
with mock_context(id=nodes[{place}], nodes=nodes):
    scheduler._run(id=nodes[{place}], task_id=task_id, is_initiator={place == 0})"""
        write_notebook(folder / f"{name}.ipynb", [common, OF_2022, run])
    job = sandbox.playground("run", folder, "--task", "some", PLAYGROUND_KEEP_ROUNDS="all")
    assert job.wait(120) == 0, job.output
    parties = sandbox.folder / "runs" / "some" / "parties"
    before = {path: path.stat().st_mtime_ns for path in parties.rglob("*") if path.is_file()}

    arguments = ("--round", "1", "--execute")  # whom the aggregator drew for the last one must stay on its disk
    replays = [sandbox.playground("replay", "some", "--party", name, *arguments) for name in names]

    assert [replay.wait(120) for replay in replays] == [0, 0, 0], [replay.output for replay in replays]
    said = [replay.output for replay in replays]
    assert said[0].count("global: equal, bit for bit") == 3  # who trains, who rests, and the first of what came of it
    assert sorted(text.count("update: equal, bit for bit") for text in said[1:]) == [0, 1]
    assert sum("run again: equal, nothing was sent in it" in text for text in said[1:]) == 1
    assert {path: path.stat().st_mtime_ns for path in parties.rglob("*") if path.is_file()} == before
