"""The exported network: readable without pickle and without deepPP, and the same as the masked one."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from mlflow.entities import Run
from onnx.reference import ReferenceEvaluator
from quick_runs import start as start_quick
from safetensors.torch import load_file
from small_search import SmallSearch, small_search
from torch import Tensor, nn

from pruning_core.compaction import compact
from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.pruner import Pruner
from search.cli import main
from search.record.export import Written, choose_replica, load_pruned, write_pruned
from search.record.onnx_file import logits, onnx_model
from search.record.replay import RecordedTrial, from_checkpoint, read_trial
from search.study import Study, StudyError

TABLE = "comparison.json"
FILES = [TABLE, "kept.txt", "pruned.json", "pruned.onnx", "pruned.safetensors", "selection.json"]


@pytest.fixture
def searched(tmp_path_factory: pytest.TempPathFactory) -> SmallSearch:
    return small_search(tmp_path_factory.getbasetemp())


@pytest.fixture
def complete(searched: SmallSearch) -> Run:
    """The run of a strategy's best trial, which keeps its networks, of which a seed completed."""
    return next(r for r in searched.runs[:-1] if "best" in r.data.tags and r.data.metrics["complete"] > 0)


Export = Callable[..., tuple[int, str]]


@pytest.fixture
def export(searched: SmallSearch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Export:
    """Runs `deeppp export` here; the exit status and what was printed."""

    def run(run: Run, *options: str, output: Path = searched.output, to: Path = tmp_path / "out") -> tuple[int, str]:
        capfd.readouterr()
        status = main(["export", run.info.run_id, "--output", str(output), "--to", str(to), *options])
        return status, "".join(capfd.readouterr())

    return run


def masked_logits(recorded: RecordedTrial, output: Path, replica: int) -> Tensor:
    """What the masked network of a trial says about the standardised validation part, (B, C)."""
    run = from_checkpoint(recorded, output)
    assert run is not None
    return run.replicas.logits(run.data.validation.x, run.replicas.hard_masks(), shared=True)[replica].detach()


def raw_validation(recorded: RecordedTrial, columns: list[str]) -> np.ndarray:
    """The kept columns of the validation part as they stand in the file, (B, n) float32."""
    return raw(recorded, columns, recorded.study.load_data().validation.x)


def raw(recorded: RecordedTrial, columns: list[str], x_BF: Tensor) -> np.ndarray:
    """The kept columns of standardised rows as they stand in the file, (B, n) float32."""
    data = recorded.study.load_data()
    frame = pd.read_csv(str(recorded.study.data.source))
    values = (frame[list(data.feature_names)].to_numpy(np.float64) - data.mean.numpy()) / data.scale.numpy()
    rows = [int(np.abs(values - x).max(1).argmin()) for x in x_BF.numpy()]
    return frame[columns].to_numpy(np.float32)[rows]


@pytest.mark.slow
def test_the_files_of_the_best_complete_seed_agree_with_the_masked_network(
    searched: SmallSearch, complete: Run, export: Export, tmp_path: Path
) -> None:
    status, printed = export(complete)
    assert status == 0
    assert "warning" not in printed
    assert "again" not in printed
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == FILES
    trial = searched.trial(complete)
    replica = choose_replica(trial, None, "pruned_accuracy")
    network, description = load_pruned(out)
    columns = description["columns"]
    assert columns == trial["selected"][replica]
    assert (out / "kept.txt").read_text().split("\n") == [*columns, ""]
    assert description["trained_by"]["run_id"] == complete.info.run_id
    assert description["trained_by"]["seed"] == trial["seeds"][replica]
    assert description["trained_by"]["config"] == trial["config"]
    recorded = read_trial(complete.info.run_id, searched.output)
    assert description["trained_by"]["data_fingerprint"] == recorded.fingerprint

    masked_BC = masked_logits(recorded, searched.output, replica)
    raw_Bn = raw_validation(recorded, columns)
    in_torch_BC = network(torch.from_numpy(raw_Bn)).detach()
    torch.testing.assert_close(in_torch_BC, masked_BC, atol=1e-5, rtol=1e-5)
    (in_onnx_BC,) = ReferenceEvaluator(onnx.load(out / "pruned.onnx")).run(["logits"], {"columns": raw_Bn})
    np.testing.assert_allclose(np.asarray(in_onnx_BC), masked_BC.numpy(), atol=1e-5, rtol=1e-5)
    run = from_checkpoint(recorded, searched.output)
    assert run is not None
    assert run.held_out_RB is not None
    held_out = run.held_out_RB[replica]
    own_rows = held_out[held_out >= 0]
    answers = network(torch.from_numpy(raw(recorded, columns, run.data.rows.x[own_rows]))).detach().argmax(1)
    accuracy = float((answers == run.data.rows.y[own_rows]).double().mean())
    assert accuracy == pytest.approx(trial["pruned_accuracy"]["per_seed"][replica])
    assert accuracy == pytest.approx(description["trained_by"]["validation_accuracy"])


@pytest.mark.slow
def test_the_weights_load_with_plain_torch(export: Export, complete: Run, tmp_path: Path) -> None:
    export(complete)
    network, description = load_pruned(tmp_path / "out")
    layers: list[nn.Module] = []
    for layer in description["layers"]:
        layers.append(nn.Linear(layer["inputs"], layer["outputs"]) if layer["type"] == "linear" else nn.ReLU())
    plain = nn.Sequential(*layers)
    plain.load_state_dict(load_file(tmp_path / "out" / "pruned.safetensors"))
    raw_Bn = torch.randn(9, 4)
    assert torch.equal(plain(raw_Bn), network(raw_Bn))


@pytest.mark.slow
def test_onnxruntime_agrees(export: Export, complete: Run, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    export(complete)
    network, description = load_pruned(tmp_path / "out")
    raw_Bn = torch.tensor(description["mean"]) + torch.tensor(description["scale"]) * torch.randn(50, 4)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "pruned.onnx"))
    (logits_BC,) = session.run(["logits"], {"columns": raw_Bn.numpy()})
    np.testing.assert_allclose(logits_BC, network(raw_Bn).detach().numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("left", ["nothing", "another", "torn"])
def test_without_its_checkpoint_a_trial_is_trained_again_to_the_same_files(
    left: str, searched: SmallSearch, complete: Run, export: Export, tmp_path: Path
) -> None:
    assert export(complete)[0] == 0
    ray = searched.output / "ray"
    aside = shutil.copytree(ray, tmp_path / "aside")
    (checkpoint,) = (ray / "cellar" / f"trial_{int(complete.data.tags['trial']):05d}").glob("checkpoint_*")
    try:
        if left == "nothing":
            shutil.rmtree(ray)
        elif left == "another":
            result = json.loads((checkpoint / "trial.json").read_text())
            (checkpoint / "trial.json").write_text(json.dumps({**result, "seconds": 1.0}))
        else:
            (checkpoint / "state.pt").write_bytes(b"PK\x03\x04torn")
        status, printed = export(complete, to=tmp_path / "again")
    finally:
        shutil.rmtree(ray, ignore_errors=True)
        aside.rename(ray)
    assert status == 0
    assert "its checkpoint is gone" in printed
    assert "the same numbers as recorded" in printed
    for name in set(FILES) - {TABLE}:  # times are never the same
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.slow
def test_a_trial_without_a_complete_seed_is_exported_only_by_its_seed(
    searched: SmallSearch, export: Export, tmp_path: Path
) -> None:
    stopped = searched.run("stepped", stopped=True)
    status, printed = export(stopped)
    assert (status, len(printed.splitlines())) == (2, 1)
    assert "--seed" in printed
    assert not (tmp_path / "out").exists()
    assert export(stopped, "--seed", "1")[0] == 0
    trained_by = load_pruned(tmp_path / "out")[1]["trained_by"]
    assert (trained_by["seed"], trained_by["complete"]) == (1, False)


@pytest.mark.slow
def test_the_default_folder_lies_in_the_output_and_names_trial_and_seed(
    searched: SmallSearch, complete: Run, tmp_path: Path
) -> None:
    output = shutil.copytree(searched.output, tmp_path / "moved")
    assert main(["export", complete.info.run_id, "--output", str(output), "--seed", "1"]) == 0
    folder = output / "export" / "cellar" / f"trial_{int(complete.data.tags['trial']):05d}_seed_1"
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_a_file_is_no_folder_to_export_to(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["export", "0123", "--to", str(tmp_path / "file")]) == 2
    assert "--to" in capfd.readouterr().err


def result(completion: list[int | None], accuracies: list[float]) -> dict[str, Any]:
    seeds = list(range(5, 5 + len(accuracies)))
    return {"seeds": seeds, "completion_epoch": completion, "pruned_accuracy": {"per_seed": accuracies}}


def test_the_most_accurate_complete_seed_is_chosen() -> None:
    assert choose_replica(result([9, 8, None, 7], [0.8, 0.9, 0.99, 0.9]), None, "pruned_accuracy") == 1
    assert choose_replica(result([9, 8, None, 7], [0.8, 0.9, 0.99, 0.9]), 7, "pruned_accuracy") == 2
    with pytest.raises(StudyError, match=r"--seed 4 must be one of the trial's seeds 5, 6"):
        choose_replica(result([1, 2], [0.1, 0.2]), 4, "pruned_accuracy")
    with pytest.raises(StudyError, match="none of the trial's seeds completed"):
        choose_replica(result([None, None], [0.1, 0.2]), None, "pruned_accuracy")


def trained(data: Dataset, **values: Any) -> tuple[RecordedTrial, Any]:
    """A short run, with a record as MLflow would tell it."""
    run = start_quick(data, seeds=2, **values)
    list(run)
    study = Study.model_validate({"name": "blobs", "data": {"source": "digits", "keep": 4}})
    recorded = RecordedTrial(
        run_id="0123", name="stepped #0", number=0, search="blobs", study=study, config=run.config, seeds=(0, 1),
        fingerprint=data.fingerprint, versions={}, output=Path(), failed=False, last_epoch=None, result={}, history={},
    )  # fmt: skip
    return recorded, run


@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)], ids=str)
def test_any_depth_is_written_and_agrees(hidden: tuple[int, ...], data: Dataset, tmp_path: Path) -> None:
    raw = replace(data, mean=torch.linspace(-20, 30, 12), scale=torch.linspace(0.1, 5, 12))
    written = write_pruned(tmp_path, *trained(raw, hidden=hidden, epochs=3), 1)
    assert written.rows == 90
    assert written.other_class == 0
    assert written.largest < 1e-4
    network, _ = load_pruned(tmp_path)
    assert [layer.out_features for layer in network if isinstance(layer, nn.Linear)] == [*hidden, 3]


def test_what_stands_for_a_missing_value_is_said(data: Dataset, tmp_path: Path) -> None:
    recorded, run = trained(replace(data, filling=torch.arange(12.0)), epochs=2)
    written = write_pruned(tmp_path, recorded, run, 0)
    description = load_pruned(tmp_path)[1]
    assert (description["impute"], description["missing"], description["filling"]) == (None, [], None)
    section = recorded.study.data.model_copy(update={"impute": "median"})
    imputed = replace(recorded, study=recorded.study.model_copy(update={"data": section}))
    write_pruned(tmp_path, imputed, run, 0)
    filling = load_pruned(tmp_path)[1]["filling"]
    assert filling == [float(name.removeprefix("x")) for name in written.columns]


class Deep(nn.Module):
    """Gated inputs and channels, a convolution, and a sum of two branches."""

    def __init__(self, config: TrialConfig, features: int, classes: int) -> None:
        super().__init__()
        self.inputs, self.convolution = Pruner(features, config.keep), nn.Conv1d(1, 6, 3, padding=1)
        self.channels, self.last = Pruner(6, 3, trailing_dims=1), nn.Linear(6 * features, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.convolution(self.inputs(x).unsqueeze(1)))
        return self.last((h + self.channels(torch.tanh(h))).flatten(1))


@pytest.mark.slow
def test_a_graph_is_written_and_its_gaps_are_filled_in_onnx(data: Dataset, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    recorded, run = trained(replace(data, filling=torch.arange(12.0)), network=Deep, epochs=2)
    section = recorded.study.data.model_copy(update={"impute": "median"})
    imputed = replace(recorded, study=recorded.study.model_copy(update={"data": section}))
    written = write_pruned(tmp_path, imputed, run, 0)
    assert written.largest < 1e-5
    assert written.masked is None
    network, description = load_pruned(tmp_path)
    raw_Bn = torch.randn(5, len(written.columns))
    raw_Bn[::2, 1] = torch.nan
    session = onnxruntime.InferenceSession(str(tmp_path / "pruned.onnx"))
    logits_BC, probabilities_BC = session.run(["logits", "probabilities"], {"columns": raw_Bn.numpy()})
    filled_Bn = torch.where(raw_Bn.isnan(), torch.tensor(description["filling"]), raw_Bn)
    expected_BC = network(filled_Bn).detach()
    np.testing.assert_allclose(logits_BC, expected_BC.numpy(), atol=1e-5)
    np.testing.assert_allclose(probabilities_BC, expected_BC.softmax(1).numpy(), atol=1e-5)
    selection = json.loads((tmp_path / "selection.json").read_text())
    assert selection["pruners"]["inputs"]["kept"] == written.columns
    assert len(selection["pruners"]["channels"]["indices"]) == 3
    table = json.loads((tmp_path / TABLE).read_text())
    assert table["multiply-adds"]["before"] == 12 * 6 * 3 + 72 * 3


def test_the_table_counts_the_layers_of_an_mlp(data: Dataset, tmp_path: Path) -> None:
    written = write_pruned(tmp_path, *trained(data, hidden=(8, 5), epochs=2), 0)
    table = {name: [before, after] for name, before, after in written.table}
    assert table["multiply-adds"] == [12 * 8 + 8 * 5 + 5 * 3, 4 * 8 + 8 * 5 + 5 * 3]
    assert table["parameters"] == [multiply_adds + 16 for multiply_adds in table["multiply-adds"]]
    assert all(after < before for before, after in (table["bytes of weights"], table["parameters"]))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((10.0, 300.0), (8.0, 310.0), None),
        ((10.0, 300.0), (12.0, 250.0), "takes 20 % longer for 1 at a time than with all its units"),
        ((10.0, 300.0), (15.0, 600.0), "50 % longer for 1 at a time and 100 % longer for 256 at a time than"),
    ],
)
def test_a_pruned_network_that_takes_longer_is_told(
    before: tuple[float, float], after: tuple[float, float], said: str | None
) -> None:
    table = [("parameters", 5.0, 9.0)]
    table += [(f"microseconds, {n} at a time", *times) for n, *times in zip((1, 256), before, after, strict=True)]  # type: ignore[misc]
    slower = Written(["a"], False, "", 9, 0, 0.0, None, table).slower
    assert slower is None if said is None else said in str(slower)


def test_columns_that_float32_cannot_tell_apart_are_noticed(data: Dataset, tmp_path: Path) -> None:
    written = write_pruned(tmp_path, *trained(replace(data, mean=torch.full((12,), 3e8)), epochs=3), 0)
    assert written.other_class > 0


def test_names_in_any_script_survive(data: Dataset, tmp_path: Path) -> None:
    names = tuple(f"Größe λ{i}" for i in range(12))
    written = write_pruned(tmp_path, *trained(replace(data, feature_names=names), epochs=2), 0)
    assert set(written.columns) < set(names)
    assert load_pruned(tmp_path)[1]["columns"] == written.columns
    assert (tmp_path / "kept.txt").read_text(encoding="utf-8").splitlines() == written.columns


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_onnx_holds_every_kind_of_layer_and_the_description(activation: type[nn.Module]) -> None:
    network = nn.Sequential(nn.Linear(3, 5), activation(), nn.Linear(5, 2))
    model = onnx_model(network, {"columns": ["a", "b", "c"], "classes": ["x", "y"]})
    raw_Bn = torch.randn(6, 3)
    (logits_BC,) = ReferenceEvaluator(model).run(["logits"], {"columns": raw_Bn.numpy()})
    np.testing.assert_allclose(np.asarray(logits_BC), network(raw_Bn).detach().numpy(), atol=1e-6)
    assert {p.key: json.loads(p.value) for p in model.metadata_props}["columns"] == ["a", "b", "c"]


class FixedRows(nn.Module):
    """Reads the number of rows as a plain number, which an ONNX file then has for good."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), 2, -1).sum(2)


@pytest.mark.slow
class Restored(nn.Module):
    """Closed inputs, tokens' units and neurons must come back, as zeros and as other constants."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.embed, self.units = Pruner(12, 5, name="inputs"), nn.Linear(4, 128), Pruner(128, 9)
        self.norm, self.wide, self.neurons = nn.LayerNorm((3, 128)), nn.Linear(384, 64), Pruner(64, 6)
        self.scores, self.last = nn.Softmax(-1), nn.Linear(64 + 12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        tokens = self.norm(torch.sigmoid(self.units(self.embed(x.unflatten(1, (3, 4))))))
        neurons = self.scores(torch.cos(self.neurons(self.wide(tokens.flatten(1)))))
        out: Tensor = self.last(torch.cat([neurons, x], 1))
        return out


def test_units_that_come_back_take_one_product_in_onnx() -> None:
    torch.manual_seed(0)
    network = Restored().eval()
    for module in network.modules():
        if isinstance(module, Pruner):
            nn.init.normal_(module.weight)
    compacted = compact(network, torch.zeros(12), torch.ones(12))
    model = onnx_model(compacted.network, {"columns": list("abcde"), "classes": ["x", "y", "z"]})
    selecting = {"Gather", "Slice", "Pad", "Expand", "GatherElements", "ScatterElements"}
    assert not selecting & {node.op_type for node in model.graph.node}
    x_Bn = torch.randn(7, 5)
    torch.testing.assert_close(logits(model, x_Bn), compacted.network(x_Bn).detach(), atol=1e-5, rtol=1e-5)


def test_a_forward_that_fixes_the_number_of_rows_has_no_onnx_file() -> None:
    described = {"columns": ["a", "b", "c", "d"], "classes": ["x", "y"]}
    with pytest.raises(StudyError, match="fixes the number of rows"):
        onnx_model(nn.Sequential(FixedRows()), described)
