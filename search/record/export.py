"""The pruned network of a trial as files that need nothing of deepPP: safetensors with a JSON description, and ONNX.

The network takes the kept columns as they are in the data, not standardised, and gives a logit per class.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch
from safetensors.torch import load_file, save, save_file
from torch import nn

from pruning_core.compaction import Compacted, CompactionError, describe, rebuild
from pruning_core.data import Dataset
from pruning_core.progress import best_complete
from pruning_core.pruner import Pruner
from pruning_core.replicas import one_replica
from pruning_core.training import Training
from search.record.onnx_file import latencies, logits, onnx_model
from search.study import StudyError

if TYPE_CHECKING:
    from search.record.replay import RecordedTrial

WEIGHTS, DESCRIPTION, ONNX, KEPT = "pruned.safetensors", "pruned.json", "pruned.onnx", "kept.txt"
SELECTION, TABLE = "selection.json", "comparison.json"
FILES = WEIGHTS, DESCRIPTION, ONNX, KEPT, SELECTION, TABLE
ROWS_CHECKED = 1000
MICROSECONDS, SLOWER = "microseconds, ", 1.1  # times of one network differ by up to so much


@dataclass(frozen=True)
class Written:
    """What has been written, and how it compares with the network under the hard mask on validation rows.

    `some_dropped` says whether there are columns that the network does not take. `other_class` of `rows` rows get
    another class from the safetensors or the ONNX file; `largest` is the largest difference of a logit. `masked` says
    what could not lose units, None if all did. `table` compares the network with all its units and the pruned one: a
    quantity, before, after.
    """

    columns: list[str]
    some_dropped: bool
    summary: str
    rows: int
    other_class: int
    largest: float
    masked: str | None
    table: list[tuple[str, float, float]]

    @property
    def slower(self) -> str | None:
        """A sentence where the pruned network takes clearly longer than the one with all its units; else None."""
        longer = [
            f"{100 * (after / before - 1):.0f} % longer for {name.removeprefix(MICROSECONDS)}"
            for name, before, after in self.table
            if name.startswith(MICROSECONDS) and after > SLOWER * before
        ]
        return f"the pruned network takes {' and '.join(longer)} than with all its units" if longer else None


def choose_replica(result: Mapping[str, Any], seed: int | None, score: str) -> int:
    """Which replica to export: that of `seed`, or the best (on validation) of the complete ones.

    Args:
        result: the trial's `trial.json`.
        seed: None for the best.
        score: what the study maximises.

    Raises:
        StudyError: the trial had no such seed, or no seed of it completed.
    """
    seeds, epochs = result["seeds"], result["completion_epoch"]
    if seed is not None:
        if seed not in seeds:
            raise StudyError(f"--seed {seed} must be one of the trial's seeds {', '.join(map(str, seeds))}")
        return int(seeds.index(seed))
    best = best_complete(epochs, result[score]["per_seed"])
    if best is None:
        raise StudyError(
            f"none of the trial's seeds completed the pruning: --seed must name one of {', '.join(map(str, seeds))}"
        )
    return best


def write_pruned(folder: Path, recorded: "RecordedTrial", run: Training, replica: int) -> Written:
    """Writes one replica's pruned network into a folder: `pruned.safetensors`, `.json`, `.onnx`, `kept.txt`,
    `selection.json` (the units that each pruner keeps) and `comparison.json` (sizes and times before and after).

    Args:
        folder: made if need be; the files replace earlier ones.
        recorded: where the network comes from.
        run: the trained replicas.
        replica: index of the one to export.

    Returns:
        What was written; compared with the network under the hard mask.
    """
    data = run.data.to("cpu")
    result: dict[str, Any] = run.result()
    network = one_replica(run.replicas, replica)
    compacted = run.network.compact(network, data.mean, data.scale, data.validation.x[:ROWS_CHECKED].flatten(1))
    columns = [data.feature_names[int(i)] for i in compacted.inputs]
    description: dict[str, Any] = {
        "columns": columns,
        "mean": data.mean[compacted.inputs].tolist(),
        "scale": data.scale[compacted.inputs].tolist(),
        "standardisation": "in the first layer: feed raw columns, in this order, as float32",
        **_gaps(recorded.study.data.impute, data, compacted),
        "classes": list(data.class_names),
        "output": "one logit per class",
        "layers": _layers(compacted),
        "masked": compacted.masked,
        "trained_by": {
            "run_id": recorded.run_id,
            "search": recorded.search,
            "trial": recorded.name,
            "seed": recorded.seeds[replica],
            "complete": result["completion_epoch"][replica] is not None,
            "validation_accuracy": result["pruned_accuracy"]["per_seed"][replica],
            "data": data.name,
            "data_fingerprint": data.fingerprint,
            "versions": dict(recorded.versions),
            "config": result["config"],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(compacted.network.state_dict(), folder / WEIGHTS)
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    model = onnx_model(compacted.network, description)
    onnx.save(model, folder / ONNX)
    (folder / KEPT).write_text("".join(f"{name}\n" for name in columns), encoding="utf-8")
    _write(folder / SELECTION, _selection(run, compacted, description))
    table = _table(run, network, compacted, model, (folder / WEIGHTS).stat().st_size)
    _write(folder / TABLE, {name: {"before": before, "after": after} for name, before, after in table})
    accuracy = description["trained_by"]["validation_accuracy"]
    summary = (
        f"{len(columns)} of {len(data.feature_names)} columns{_widths(compacted)}, "
        f"{compacted.after.parameters} parameters, {100 * accuracy:.1f} % right on validation"
    )
    dropped = len(columns) < len(data.feature_names)
    return Written(columns, dropped, summary, *_compare(model, run, replica, compacted), compacted.masked, table)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _widths(compacted: Compacted) -> str:
    """The widths of linear layers that follow one another."""
    linear = [layer for layer in compacted.network if isinstance(layer, nn.Linear)]
    if not linear or linear[0] is not compacted.network[0]:
        return ""
    return f", layers {' - '.join(str(width) for width in (len(compacted.inputs), *(o.out_features for o in linear)))}"


def _layers(compacted: Compacted) -> list[dict[str, Any]] | None:
    """The layers for `load_pruned`; None of a network that ONNX alone can tell."""
    try:
        return describe(compacted.network)
    except CompactionError:
        return None


def _selection(run: Training, compacted: Compacted, description: Mapping[str, Any]) -> dict[str, Any]:
    pruners = {
        pruner.name: {
            "kept": [pruner.units[unit] for unit in compacted.kept[pruner.name]],
            "indices": compacted.kept[pruner.name],
            "units": len(pruner.units),
        }
        for pruner in run.history.pruners
    }
    told = ("columns", "mean", "scale", "impute", "missing", "filling", "classes")
    return {"pruners": pruners, **{name: description[name] for name in told}}


def _table(
    run: Training, network: nn.Module, compacted: Compacted, model: onnx.ModelProto, after: int
) -> list[tuple[str, float, float]]:
    """The network with all its units beside the pruned one: sizes, and microseconds of both ONNX models."""
    for module in network.modules():
        if isinstance(module, Pruner):
            module.keep = len(module.weight)
    features = len(run.data.feature_names)
    whole = run.network.compact(network, torch.zeros(features), torch.ones(features))
    names = {"columns": list(run.data.feature_names), "classes": list(run.data.class_names)}
    full, pruned = latencies([onnx_model(whole.network, names), model])
    return [
        ("parameters", compacted.before.parameters, compacted.after.parameters),
        ("multiply-adds", compacted.before.multiply_adds, compacted.after.multiply_adds),
        ("bytes of weights", len(save(whole.network.state_dict())), after),
        *((f"{MICROSECONDS}{batch} at a time", full[batch], pruned[batch]) for batch in full),
    ]


def _gaps(impute: str | None, data: Dataset, compacted: Compacted) -> dict[str, Any]:
    """Which numbers stand for a missing value, and what must take the place of one before the network sees the row."""
    filling = data.mean if data.filling is None else data.filling
    return {
        "impute": impute,
        "missing": [] if data.source is None else list(data.source.missing),
        "filling": None if impute is None else filling[compacted.inputs].tolist(),
    }


def load_pruned(folder: Path) -> tuple[nn.Sequential, dict[str, Any]]:
    """The network that `write_pruned` wrote, raw (B, n) float32 -> logits (B, C), and its description.

    >>> network, description = load_pruned(Path("runs/export/quick/trial_00036_seed_3"))  # doctest: +SKIP
    >>> raw = torch.tensor(frame[description["columns"]].to_numpy("float32"))  # doctest: +SKIP
    >>> [description["classes"][i] for i in network(raw).argmax(1)]  # doctest: +SKIP
    """
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if description["layers"] is None:
        raise StudyError(f"{folder / DESCRIPTION} cannot tell this network: {ONNX} can")
    return rebuild(description["layers"], load_file(folder / WEIGHTS)), description


@torch.no_grad()
def _compare(model: onnx.ModelProto, run: Training, replica: int, compacted: Compacted) -> tuple[int, int, float]:
    """Compares the network and its ONNX model with the masked network, on raw rows of the validation part."""
    part, data = run.data.validation, run.data
    x_BF = part.x[:ROWS_CHECKED].flatten(1)
    run.replicas.network.eval()
    masked_BC = run.replicas.logits(x_BF, run.replicas.hard_masks(), shared=True)[replica].cpu()
    run.replicas.network.train()
    raw_BF = (x_BF.double() * data.scale + data.mean).float().cpu()
    raw_Bn = raw_BF[:, compacted.inputs]
    answers = compacted.network(raw_Bn), logits(model, raw_Bn)
    classes_B = masked_BC.argmax(1)
    other_B = (answers[0].argmax(1) != classes_B) | (answers[1].argmax(1) != classes_B)
    return len(x_BF), int(other_B.sum()), max(float((logits_BC - masked_BC).abs().max()) for logits_BC in answers)
