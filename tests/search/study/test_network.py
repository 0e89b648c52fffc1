"""The section `network` of a study file: what may stand there, what it comes to on data, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pruning_core.data import Dataset
from search.study import Study, StudyError, load_study, load_trial
from search.study.trying import on

Write = Callable[..., Path]
CONV = {"kind": "conv", "input_shape": [1, 8, 8]}
MODELS = """
import torch
from torch import nn
from pruning_core import Pruner

def fixed(inputs, classes):
    return nn.Sequential(Pruner(inputs, 5), nn.Linear(inputs, classes))

def asked(inputs, classes, keep, width=8):
    return nn.Sequential(Pruner(inputs, keep), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))

def neurons(inputs, classes, width=8):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), Pruner(width, 2), nn.Linear(width, classes))
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "models.py").write_text(MODELS)

    def write_study(network: dict[str, Any], **other: Any) -> Path:
        path = tmp_path / "study.yaml"
        document = {"name": "a", "data": {"source": "digits"}, "network": network, **other}
        path.write_text(yaml.safe_dump(document))
        return path

    return write_study


def resolved(path: Path, *overrides: str) -> tuple[Study, Dataset]:
    study = load_study(path, overrides)
    data = study.load_data()
    return on(study, data), data


def test_counts_and_fractions_of_each_pruner(write: Write) -> None:
    study, _ = resolved(write({"hidden": [64, 48], "prune": {"inputs": 0.25, "hidden": [0.25, 16]}}))
    config = study.trial_config()
    assert (config.keep, config.arguments) == (15, {"prune": {"hidden": [0.25, 16]}})
    assert config.used()["network.prune"] == {"hidden": [0.25, 16]}


def test_one_share_stands_for_all_layers(write: Write) -> None:
    study, _ = resolved(write({"hidden": [64, 48], "prune": {"hidden": 0.25}}))
    assert study.data.keep is None
    assert study.trial_config().arguments == {"prune": {"hidden": [0.25, 0.25]}}


def test_a_resolved_study_is_read_again_as_it_is(write: Write) -> None:
    study, _ = resolved(write({"prune": {"inputs": 0.5, "hidden": 16}}))
    document = study.model_dump(mode="json")
    assert Study.model_validate(document).model_dump(mode="json") == document
    assert study.data.keep == 30


def test_a_network_that_wants_a_shape_sees_constant_inputs_too(write: Write) -> None:
    study, data = resolved(write({**CONV, "prune": {"inputs": 16, "channels": 0.5}}))
    assert len(data.feature_names) == 64
    assert study.trial_config().used()["network.prune"] == {"channels": [0.5, 0.5]}
    assert (data.train.x[:, data.feature_names.index("pixel_0_0")] == 0).all()


@pytest.mark.parametrize(("function", "keep"), [("fixed", 5), ("neurons", None)])
def test_n_is_what_a_network_of_one_s_own_says(write: Write, function: str, keep: int | None) -> None:
    study, _ = resolved(write({"build": f"models.py:{function}"}))
    assert study.data.keep == keep
    assert study.trial_config().keep == keep


def test_a_function_that_asks_for_keep_gets_it(write: Write) -> None:
    study, _ = resolved(write({"build": "models.py:asked"}), "data.keep=[7, 9]")
    assert study.data.keeps == (7, 9)


def test_an_argument_may_be_set_for_one_trial(write: Write) -> None:
    path = write({"build": "models.py:neurons"}, space={"network.width": {"low": 4, "high": 8}})
    assert load_trial(path, ["network.width=5"])[1].arguments == {"width": 5}
    assert load_study(path, ["network.width=5"]).space == {"network.width": 5}


@pytest.mark.parametrize(
    ("network", "override", "words"),
    [
        ({"prune": {"inputs": 1.5}}, None, "prune.inputs = 1.5 must be a count"),
        ({"prune": {"inputs": 0}}, None, "prune.inputs = 0 must be a count"),
        ({"prune": {"inputs": True}}, None, "must be a count"),
        ({"prune": {"inputs": [3]}}, None, "must be a count"),
        ({"prune": {"channels": 3}}, None, "prune.channels is not known: network.kind = 'mlp' takes inputs, hidden"),
        ({"prune": 3}, None, "network.prune = 3"),
        ({"prune": {"inputs": 10}}, "data.keep=11", "inputs = 10 must be left out where data.keep = 11"),
        ({"prune": {"inputs": 60}}, None, "data.keep = 60 must lie in 1 ... 59"),
        ({"prune": {"hidden": 64}}, None, "keep must lie in 1 ... 63"),
        ({"prune": {"hidden": [3, 3]}}, None, "has 2 entries, and there are 1 layers"),
        ({}, None, "data.keep is missing"),
        ({"kind": "rnn"}, "data.keep=3", "must be 'mlp' or 'conv'"),
        ({"kind": "conv"}, "data.keep=3", r"must be \[channels, height, width\]"),
        ({**CONV, "input_shape": [64]}, "data.keep=3", r"must be \[channels, height, width\]"),
        ({**CONV, "input_shape": [1, 8, 9]}, "data.keep=3", "takes 72 inputs, and the data has 64"),
        ({**CONV, "arguments": {"channels": []}}, "data.keep=3", "must be a list of widths"),
        ({**CONV, "arguments": {"depth": 3}}, "data.keep=3", "arguments.depth is not known"),
        ({**CONV}, None, "data.keep is missing"),
        ({"input_shape": [1, 8, 8]}, "data.keep=3", "takes flat rows"),
        ({"input_shape": []}, "data.keep=3", "must be a list of sizes"),
        ({"arguments": {"width": 3}}, "data.keep=3", "arguments.width is not known: network.kind = 'mlp' takes none"),
        ({"build": "models.py:fixed", "hidden": [3]}, None, r"hidden = \(3,\) must be left out"),
        ({"build": "models.py:fixed", "prune": {"inputs": 3}}, None, "must be left out"),
        ({"build": "models.py:fixed", "kind": "mlp"}, None, "must be left out"),
        ({"build": "models.py:fixed"}, "data.keep=6", "has n = 5 on its inputs"),
        ({"build": "models.py:neurons"}, "data.keep=6", "has no pruner on its inputs"),
        ({"build": "models.py:fixed", "arguments": {"width": 3}}, None, "arguments.width is not an argument"),
        ({"build": "models.py:fixed"}, "space.network.width=3", "space.network.width is not an argument"),
        ({"build": "models.py:asked"}, None, "TypeError"),
        ({"build": "models.py:neurons", "arguments": {"width": 2}}, None, "keep must lie in 1 ... 1"),
        ({"build": "models.py:neurons"}, "space.network.width={low: 1, high: 8}", "'width': 1.*keep must lie"),
        ({"build": "models.py:neurons"}, "space.network.width={low: a, high: 8}", "low.*must be"),
        ({"build": "models.py:neurons", "arguments": {"width": [1, {}]}}, None, "TypeError|raises"),
        ({"build": 3}, None, "must have the form"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    write: Write, network: dict[str, Any], override: str | None, words: str
) -> None:
    path = write(network)
    with pytest.raises(ValueError, match=words) as caught:
        resolved(path, *([override] if override else []))
    assert "\n" not in str(caught.value)


def test_arguments_are_searched_of_one_s_own_networks_only(write: Write) -> None:
    with pytest.raises(StudyError, match="has arguments to search"):
        load_study(write({"prune": {"inputs": 3}}), ["space.network.width=3"])
