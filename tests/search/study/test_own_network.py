"""A function of the user's that builds a network: found, read with all that it imports, executed from that text."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning_core.config import TrialConfig
from pruning_core.pruner import named_pruners
from search.study import StudyError, load_study
from search.study.own_network import OwnNetwork, absolute, read_sources

MODELS = """
from torch import nn
from pruning_core import Pruner
from blocks import hidden

def make(inputs, classes, keep=4, width=16):
    return nn.Sequential(Pruner(inputs, keep), *hidden(inputs, width), nn.Linear(width, classes))
"""
BLOCKS = """
from torch import nn

def hidden(inputs, width):
    return [nn.Linear(inputs, width), nn.ReLU()]
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "blocks.py").write_text(BLOCKS)
    (tmp_path / "unrelated.py").write_text("raise RuntimeError")
    return tmp_path / "models.py"


def own(models: Path, function: str = "make") -> OwnNetwork:
    reference = f"{models}:{function}"
    return OwnNetwork(reference, read_sources(reference))


def test_a_file_is_read_with_the_files_beside_it_that_it_imports(models: Path) -> None:
    assert read_sources(f"{models}:make") == {"models.py": MODELS, "blocks.py": BLOCKS}


def test_a_network_is_built_from_the_text_when_the_files_are_gone(models: Path) -> None:
    network = own(models)
    models.unlink()
    (models.parent / "blocks.py").unlink()
    made = network(TrialConfig(**{"keep": 3, "network.width": 7}), 13, 3)
    assert made(torch.zeros(2, 13)).shape == (2, 3)
    assert [len(p) for p in made.parameters()] == [13, 7, 7, 3, 3]
    assert not network.has_changed()


def test_without_an_argument_the_function_s_default_counts(models: Path) -> None:
    made = own(models)(TrialConfig(), 13, 3)
    assert isinstance(made, nn.Sequential)
    assert made[0].keep == 4


def test_a_file_that_holds_another_text_has_changed(models: Path) -> None:
    network = own(models)
    assert not network.has_changed()
    (models.parent / "blocks.py").write_text(BLOCKS + "\n")
    assert network.has_changed()


def test_modules_that_are_imported_already_stay_what_they_are(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = type(sys)("blocks")
    monkeypatch.setitem(sys.modules, "blocks", mine)
    own(models)(TrialConfig(), 13, 3)
    assert sys.modules["blocks"] is mine


def test_two_folders_with_files_of_one_name_are_kept_apart(models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "models.py").write_text(MODELS.replace("keep=4", "keep=5"))
    (other / "blocks.py").write_text(BLOCKS)
    first, second = own(models), own(other / "models.py")
    kept = [named_pruners(network(TrialConfig(), 13, 3))[0].keep for network in (first, second, first)]
    assert kept == [4, 5, 4]


def test_a_module_of_a_package_is_read_with_what_it_imports_from_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ournets"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("from .parts import hidden\n")
    (package / "deep" / "parts.py").write_text(BLOCKS)
    (package / "models.py").write_text(MODELS.replace("from blocks", "from .deep"))
    (tmp_path / "outside.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    reference = "ournets.models:make"
    sources = read_sources(reference)
    assert set(sources) == {
        "ournets/__init__.py",
        "ournets/models.py",
        "ournets/deep/__init__.py",
        "ournets/deep/parts.py",
    }
    monkeypatch.undo()
    assert OwnNetwork(reference, sources)(TrialConfig(), 13, 3)(torch.zeros(1, 13)).shape == (1, 3)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("models.py", "must have the form"),
        ("models.py:", "must have the form"),
        ("models.py:make it", "must have the form"),
        (":make", "must have the form"),
        ("nothing.py:make", "cannot be read"),
        ("no_such_package.nets:make", "no module no_such_package.nets"),
    ],
)
def test_a_function_that_cannot_be_found_is_refused(models: Path, reference: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        read_sources(absolute(reference, models.parent))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def make(:", "is no Python"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('not today')", "cannot be imported: RuntimeError: not today"),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("def other(): pass", "has no make"),
        ("make = 3", "must name a function"),
        ("nn.Linear", "NameError"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_sentence(models: Path, text: str, words: str) -> None:
    models.write_text(text)
    with pytest.raises(StudyError, match=words) as caught:
        own(models)(TrialConfig(), 13, 3)
    assert "\n" not in str(caught.value)


def test_text_of_another_encoding_is_refused(models: Path) -> None:
    models.write_bytes("# caf\xe9".encode("latin-1"))
    with pytest.raises(StudyError, match="UTF-8"):
        read_sources(f"{models}:make")


def test_a_study_notes_the_text_and_is_read_again_without_the_file(models: Path) -> None:
    study_file = models.parent / "study.yaml"
    study_file.write_text("name: own\ndata: {source: wine}\nnetwork: {build: 'models.py:make'}\n")
    study = load_study(study_file)
    document = study.model_dump(mode="json")
    assert document["network"]["source"] == {"models.py": MODELS, "blocks.py": BLOCKS}
    models.unlink()
    again = type(study).model_validate(document)
    assert again.network.spec.build(again.trial_config(), 13, 3)(torch.zeros(1, 13)).shape == (1, 3)


def test_arguments_may_be_fixed_and_searched(models: Path) -> None:
    study_file = models.parent / "study.yaml"
    study_file.write_text(
        "name: own\ndata: {source: wine, keep: 3}\nnetwork: {build: 'models.py:make', arguments: {width: 12}}\n"
        "space: {network.width: {low: 8, high: 32, log: true}}\n"
    )
    study = load_study(study_file)
    assert study.trial_config().arguments == {"width": 12}
    assert study.trial_config({"network.width": 20}).used()["network.width"] == 20
    assert all(point["network.width"] == 12 for point in study.varied.known_points())
    assert "network.width" in study.varied.searched("markov")
    assert {point["network.width"] for point in study.varied.grid(200, seed=0)} == {8, 16, 32}
    assert load_study(study_file, ["space.network.width=9"]).trial_config().arguments == {"width": 9}
