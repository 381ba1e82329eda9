"""Split training over the bus against the same split model in one process, which knows nothing of our protocol."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from playground_ext.hetero_nn import load_models
from playground_ext.scheduler.seeding import seed_everything

PARTIES = Path(__file__).with_name("split_parties.py")
ROUNDS = 2


class _Everybody:
    """Several ordinary optimizers, called one after the other."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


class _Generators:
    """One global generator, played by each party in turn."""

    def __init__(self) -> None:
        self.states: dict[str, torch.Tensor] = {}

    def seed(self, party: str, round: int) -> None:
        seed_everything(0, party, round)
        self.states[party] = torch.get_rng_state()

    def run(self, party: str, code: Any) -> Any:
        torch.set_rng_state(self.states[party])
        value = code()
        self.states[party] = torch.get_rng_state()
        return value


def train_in_one_process(
    nodes: list[str], *, frozen: tuple[str, ...] = (), **options: Any
) -> dict[str, dict[str, dict[str, torch.Tensor]]]:
    """The oracle: one graph over all parties' models."""
    module = runpy.run_path(str(PARTIES))
    torch.set_num_threads(1)
    generators = _Generators()
    several, name = options.get("several", False), options.get("optimizer", "sgd")
    features, infer = {}, None
    for node in nodes:
        generators.seed(node, 0)
        features[node] = generators.run(node, lambda: module["Feature"](several))
    width = (6 if several else 4) * len(nodes)
    infer = generators.run("host", lambda: module["Infer"](width))
    learning = [model for node, model in features.items() if node not in frozen]
    joint = _Everybody([module["optimizer"](name, model) for model in (infer, *learning)])
    train_rows = list(range(module["SAMPLES"] - 8))
    for round in range(1, ROUNDS + 1):
        for node in nodes:
            generators.seed(node, round)
            features[node].train(node not in frozen)
        infer.train()
        for start in range(0, len(train_rows), module["BATCH"]):
            rows = train_rows[start : start + module["BATCH"]]
            projection = {}
            for node in nodes:
                x = module["columns"](node)[rows]
                projection[node] = generators.run(node, lambda node=node, x=x: features[node](x))
            fused = module["fuse"](projection, nodes)
            targets = module["labels"]()[rows]
            style = options.get("style", "plain")
            generators.run(
                "host",
                lambda style=style, fused=fused, targets=targets: module["train_step"](
                    style, infer, joint, fused, targets
                ),
            )
    trained = {node: {"feature_model": model.state_dict()} for node, model in features.items()}
    trained["host"]["infer_model"] = infer.state_dict()
    return trained


def _nodes(collaborators: int) -> list[str]:
    return ["host", *(f"collaborator-{index}" for index in range(1, collaborators + 1))]


def _parties(nodes: list[str], options: dict[str, Any], **host: Any) -> dict[str, Any]:
    others = {node: ("collaborator", {"key": node, "options": options}) for node in nodes[1:]}
    return {"host": ("host", {"options": options, "max_rounds": ROUNDS, **host}), **others}


def _assert_equal(answers: dict[str, Any], expected: dict[str, Any]) -> None:
    for node, models in expected.items():
        for model, state in models.items():
            for name, tensor in state.items():
                torch.testing.assert_close(
                    answers[node]["states"][model][name], tensor, rtol=1e-6, atol=1e-9, msg=f"{node} {model}.{name}"
                )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("collaborators", [1, 2, 3])
def test_trained_weights_are_those_of_one_process(federation, collaborators, optimizer):
    nodes, options = _nodes(collaborators), {"optimizer": optimizer}

    answers = federation(PARTIES, _parties(nodes, options))

    _assert_equal(answers, train_in_one_process(nodes, **options))


@pytest.mark.parametrize("style", ["two backward calls", "step before zero", "clipped"])
def test_every_way_to_write_a_training_step_is_right(federation, style):
    nodes, options = _nodes(2), {"style": style, "ids": True}

    answers = federation(PARTIES, _parties(nodes, options))

    _assert_equal(answers, train_in_one_process(nodes, style=style))


@pytest.mark.parametrize("optimizer", ["decayed", "clipped"])
def test_learning_rate_schedules_and_clipping_are_the_users_own(federation, optimizer):
    nodes, options = _nodes(2), {"optimizer": optimizer}

    answers = federation(PARTIES, _parties(nodes, options))

    _assert_equal(answers, train_in_one_process(nodes, **options))
    plain = train_in_one_process(nodes)
    for node in nodes:  # else this would test nothing
        name, tensor = next(iter(plain[node]["feature_model"].items()))
        assert not torch.allclose(answers[node]["states"]["feature_model"][name], tensor, rtol=1e-3)


def test_several_tensors_a_party_and_rsa_give_the_same(federation):
    nodes, options = _nodes(1), {"several": True}

    answers = federation(PARTIES, _parties(nodes, options, psi="rsa"))

    _assert_equal(answers, train_in_one_process(nodes, several=True))


def test_a_feature_model_that_is_not_trainable_stays_as_it_was(federation):
    nodes = _nodes(2)
    parties = _parties(nodes, {})
    parties["collaborator-1"][1]["is_feature_trainable"] = False

    answers = federation(PARTIES, parties)

    _assert_equal(answers, train_in_one_process(nodes, frozen=("collaborator-1",)))


def test_every_party_keeps_its_own_models_and_the_host_its_metrics(federation):
    answers = federation(PARTIES, _parties(_nodes(1), {}))

    for node, expected in (("host", {"feature_model", "infer_model"}), ("collaborator-1", {"feature_model"})):
        saved = load_models(answers[node]["model_file"])
        assert set(saved) == expected
        for model, state in saved.items():
            for name, tensor in state.items():
                assert torch.equal(tensor, answers[node]["states"][model][name])
    names = {(name, round) for name, round, _ in answers["host"]["metrics"]}
    assert names == {(name, round) for name in ("train/loss", "test/accuracy") for round in (1, 2)}


def test_features_may_be_several_tensors_of_any_float_dtype(federation):
    parties = _parties(_nodes(1), {}, log_rounds=0)
    parties["collaborator-1"] = ("changed", {"base": "collaborator", "change": "BFloat", "key": "collaborator-1"})

    answers = federation(PARTIES, parties)

    # bfloat16 rounds a quarter of the features, and their gradients, to 8 bits: close to the oracle, not equal
    expected = train_in_one_process(_nodes(1))
    for name, tensor in expected["collaborator-1"]["feature_model"].items():
        trained = answers["collaborator-1"]["states"]["feature_model"][name]
        torch.testing.assert_close(trained, tensor, rtol=0.1, atol=0.1)
        assert trained.dtype == torch.float32
