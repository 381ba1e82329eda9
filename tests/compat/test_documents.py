"""Documents 003 and 004: the code in them, taken from the documents themselves, put together as they say, and run.

What is changed is listed here and nowhere else:

- 003: fewer rounds. It links to `net.py`, which it prints, and to `scheduler.py`, which it describes; the latter is
  written here as described, except that an epoch ends after 25 of its 938 batches and a test after 25 of its 157. The
  second collaborator is the first with another id, as it says.
- 004: one round, and the host's batch size, which the document gives as 128 against the collaborator's 10000. On fewer
  images than the document's 60,000 and 10,000: the numbers that it asserts, too.

003 has as many images as it expects, tiled from the bundled subset.
"""

from __future__ import annotations

import ast
import json
import os
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from alphamed_documents import INSTALL, assemble, changed, code_blocks, write_notebook
from sandbox import Notebook, Sandbox
from torch import nn

FULL = os.environ.get("PLAYGROUND_DATA", "")
MOCK = code_blocks("003_mock_environment.txt")
GUIDE = code_blocks("004_hetero_nn_guide.txt")

FEWER_ROUNDS = {"max_rounds=5": "max_rounds=2"}
COLLABORATORS = ("663ad4b0-b617-409f-8bc9-3682b30f7f30", "0fc1a571-2920-47bf-9e4e-b4edb7fa2caa")
AGGREGATOR = "1bb9feba-7b53-455b-b127-0eb19ffc9d3f"
SCHEDULER = '''
from itertools import islice

import torch
import torch.nn.functional as F
import torchvision
from net import ConvNet
from torch import nn, optim
from torch.utils.data import DataLoader

from alphafed import get_dataset_dir, logger
from alphafed.fed_avg import FedAvgScheduler


class DemoAvg(FedAvgScheduler):
    """SGD on handwritten digits, and the accuracy of the final model, as document 003 describes it."""

    def build_model(self) -> nn.Module:
        return ConvNet()

    def build_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.SGD(self.model.parameters(), lr=0.01, momentum=0.5)

    def _digits(self, train: bool) -> DataLoader:
        transform = torchvision.transforms.Compose([
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.1307,), (0.3081,))
        ])
        digits = torchvision.datasets.MNIST('data', train=train, download=True, transform=transform)
        logger.info(f'{len(digits)} digits')
        return DataLoader(digits, batch_size=64, shuffle=train)

    def build_train_dataloader(self) -> DataLoader:
        return self._digits(train=True)

    def build_test_dataloader(self) -> DataLoader:
        return self._digits(train=False)

    def state_dict(self):
        return self.model.state_dict()

    def load_state_dict(self, state_dict):
        self.model.load_state_dict(state_dict)

    def train_an_epoch(self) -> None:
        self.model.train()
        for data, labels in islice(self.train_loader, 25):
            self.optimizer.zero_grad()
            F.nll_loss(self.model(data), labels).backward()
            self.optimizer.step()

    @torch.no_grad()
    def run_test(self):
        self.model.eval()
        correct = tested = 0
        for data, labels in islice(self.test_loader, 25):
            correct += self.model(data).argmax(1).eq(labels).sum().item()
            tested += len(labels)
        accuracy = correct / tested
        logger.info(f'Test set: Accuracy: {accuracy} ({100. * accuracy:.2f}%)')
        self.tb_writer.add_scalar('test_results/accuracy', accuracy, self.current_round)
'''


def test_the_code_that_003_debugs_fails_and_works_as_it_says():
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Dropout2d remarks on the picture without a batch
        for block in MOCK[:2]:
            exec(block, names)
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(1x320 and 30x50\)"):
            exec(MOCK[2], names)
        for block in MOCK[3:5]:
            exec(block, names)
    assert names["y_pred"].shape == (1,)


@pytest.mark.slow
def test_003_runs_on_sixty_thousand_images_as_a_folder_of_notebooks(sandbox: Sandbox, sixty_thousand: Path):
    """Hard-coded ids, no parameters, a kernelspec that nobody has, modules beside the notebooks, a relative folder."""
    folder = sandbox.folder / "mock"
    folder.mkdir()
    (folder / "net.py").write_text(MOCK[6])
    (folder / "scheduler.py").write_text(SCHEDULER)
    aggregator, collaborator = (changed(block, FEWER_ROUNDS) for block in MOCK[7:9])
    other = changed(collaborator, {f"col_id_1 = '{COLLABORATORS[0]}'": f"col_id_1 = '{COLLABORATORS[1]}'"})
    write_notebook(folder / "mock_aggregator.ipynb", [aggregator], kernel="py310")
    write_notebook(folder / "mock_collaborator_1.ipynb", [collaborator], kernel="alphafed")
    write_notebook(folder / "mock_collaborator_2.ipynb", [other])

    job = sandbox.playground("run", folder, "--task", "mock", PLAYGROUND_DATA=str(sixty_thousand))
    code = job.wait(170)

    assert code == 0, job.output
    run = sandbox.folder / "runs" / "mock"
    pane = Notebook(run / "mock_collaborator_2.ipynb").pane
    for party in (AGGREGATOR, *COLLABORATORS):
        assert f"{party}" in pane  # everybody's lines in every notebook
    # what the runner shows and keeps goes by the notebooks' names
    assert "mock_aggregator | round 2 | Test set: Accuracy: 0." in job.output
    for number in (1, 2):  # MNIST('data', download=True): the set of its size, and no network
        assert f"mock_collaborator_{number} | 60000 digits" in job.output
    assert "mock_aggregator | 10000 digits" in job.output
    assert "mock_aggregator,2,test_results/accuracy," in (run / "metrics.csv").read_text().replace(
        AGGREGATOR, "mock_aggregator"
    )
    assert (run / "model.safetensors").exists()
    summary = json.loads((run / "summary.json").read_text())
    assert [party["round"] for party in summary["parties"]] == [2, 2, 2]
    assert summary["accuracy"]["mock_aggregator"][-1]["accuracy"] > 0.15  # guessing gets 0.1
    assert not (folder / "data").exists()


def test_003_goes_to_production_by_one_line(parties, tmp_path: Path, few_digits: Path):
    """`with mock_context(…): scheduler._run(…)` is replaced by `scheduler.launch_task(task_id=task_id)`, as it says."""
    scripts = tmp_path / "scripts"
    (scripts / "net.py").write_text(MOCK[6])
    (scripts / "scheduler.py").write_text(SCHEDULER)
    nodes = (AGGREGATOR, COLLABORATORS[0])
    simulation = {MOCK[9].rstrip(): MOCK[10].rstrip()}
    production = {AGGREGATOR: changed(MOCK[7], {**simulation, **FEWER_ROUNDS})}
    with_block = MOCK[8][MOCK[8].index("with mock_context") :].rstrip()
    production[nodes[1]] = changed(MOCK[8], {with_block: MOCK[10].rstrip(), **FEWER_ROUNDS})
    for node in nodes:
        source = INSTALL + production[node] + "\nprint(scheduler.current_round)\n"
        known = {"PLAYGROUND_PARTY": node, "PLAYGROUND_NODES": ",".join(nodes)}
        parties.start(node, source, {**known, "PLAYGROUND_DATA": str(few_digits)})

    outcomes = parties.finish(120)

    assert [outcomes[node].out.split() for node in nodes] == [["2"], ["2"]], outcomes


# -- document 004 -----------------------------------------------------------------------------------------------------

HOST, COLLABORATOR = GUIDE[18], GUIDE[28]
ONE_ROUND = {"max_rounds=5": "max_rounds=1"}
SAME_BATCH = {"batch_size=128": "batch_size=10000"}


def the_guide_runs(sandbox: Sandbox, digits: Path, train: int, test: int) -> None:
    fewer = {"== 60000": f"== {train}", "== 10000": f"== {test}"}
    folder = sandbox.folder / "guide"
    folder.mkdir()
    write_notebook(folder / "host.ipynb", [changed(HOST, {**ONE_ROUND, **SAME_BATCH, **fewer})])
    write_notebook(folder / "collaborator.ipynb", [changed(COLLABORATOR, fewer)])

    job = sandbox.playground("run", folder, "--task", "guide", PLAYGROUND_DATA=str(digits))
    code = job.wait(400)

    assert code == 0, job.output
    assert f"host | There are {train} samples for training." in job.output
    assert f"{train + test} common samples: {train} to train, {test} to test" in job.output
    results = sandbox.folder / "runs" / "guide" / "parties" / "YOUR_TASK_ID" / "host" / "latest" / "results"
    head, row = (results / "test_results.csv").read_text().split()
    assert head == "round,average_loss,accuracy,correct_rate"
    number, _, accuracy, rate = map(float, row.split(","))
    assert number == 1
    assert rate == pytest.approx(100 * accuracy)
    assert (results / "timer.csv").read_text().startswith("round,run_time\n1,")


@pytest.mark.slow
def test_004_runs_as_a_folder_of_notebooks(sandbox: Sandbox, few_digits: Path):
    the_guide_runs(sandbox, few_digits, train=600, test=100)


@pytest.mark.slow
@pytest.mark.timeout(420)  # 30 s on a machine that has nothing else to do
@pytest.mark.skipif(not FULL, reason="needs the full MNIST in PLAYGROUND_DATA")
def test_004_runs_on_the_full_set_as_it_is_printed(sandbox: Sandbox):
    the_guide_runs(sandbox, Path(FULL), train=60000, test=10000)


def parts(source: str) -> dict[str, str]:
    """The methods of the last class of a source, by name, without comments and layout."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.unparse(node) for node in classes[-1].body if isinstance(node, ast.FunctionDef)}


PIECES = assemble(GUIDE[1], [*GUIDE[2:4], *GUIDE[5:8], *GUIDE[9:12], *GUIDE[14:18]])


def test_the_pieces_of_004_make_the_class_that_it_prints_at_the_end():
    pieces, whole = parts(PIECES), parts(HOST)

    assert pieces.keys() - whole.keys() == {"is_task_finished"}  # which it says is the default
    assert not whole.keys() - pieces.keys()
    different = [name for name in whole if pieces[name] != whole[name]]
    assert different == ["make_infer_optimizer"]  # momentum 0.5 in the piece, 0.1 in the whole


def play_split(parties, host: dict[str, str], collaborator: dict[str, str], digits: Path | None = None):
    """On the bundled subset, or on other `digits`. The host is the class of the pieces."""
    launch = HOST[HOST.index("scheduler = DemoHeteroHost") :]
    models = GUIDE[4] + "\n\n" + GUIDE[8]
    imports, _, rest = PIECES.partition("class DemoHeteroHost")
    source = f"{imports}\n{models}\n\nclass DemoHeteroHost{rest}\n{launch}"
    for party, text, literals in (("host", source, host), ("collaborator", COLLABORATOR, collaborator)):
        env = {"PLAYGROUND_PARTY": party, "PLAYGROUND_NODES": "host,collaborator"}
        data = {} if digits is None else {"PLAYGROUND_DATA": str(digits)}
        parties.start(party, INSTALL + changed(text, literals), {**env, **data})
    return parties.finish(120)


FEWER = {"== 60000": "== 600", "== 10000": "== 100"}


def test_004_on_the_subset_says_that_it_is_the_subset(parties):
    outcomes = play_split(parties, ONE_ROUND, {})

    for outcome in outcomes.values():
        assert "iterate_train_feature asserts: Some train samples lost." in outcome.err
        assert "The parties have 6,000 of these samples in common" in outcome.err
        assert "MNIST is the bundled subset of 6,000 training and 1,000 test images here" in outcome.err


def test_004_says_that_its_batch_sizes_differ(parties, few_digits: Path):
    outcomes = play_split(parties, {**ONE_ROUND, **FEWER}, FEWER, few_digits)

    for outcome in outcomes.values():
        assert "batch 0 of iterate_train_feature has 128 samples at host, 600 at collaborator" in outcome.err
        assert "use the same batch_size in every notebook" in outcome.err


def test_004_with_a_model_too_narrow_says_what_would_fit(parties, few_digits: Path):
    narrow = {**ONE_ROUND, **FEWER, **SAME_BATCH, "nn.Linear(20, 10)": "nn.Linear(10, 10)"}
    outcomes = play_split(parties, narrow, FEWER, few_digits)

    # two parties with 10 features each
    assert "in train_a_batch, a layer that takes 10 numbers a sample is given 20" in outcomes["host"].err
    assert "in train_a_batch, a layer that takes 10 numbers a sample is given 20" in outcomes["collaborator"].err


def test_the_network_of_004_takes_halves_of_a_digit():
    names = {"nn": nn, "F": nn.functional}
    exec(textwrap.dedent(GUIDE[4]), names)

    assert names["ConvNet"]()(torch.zeros(2, 1, 28, 14)).shape == (2, 10)
