"""Whether the inputs that are claimed at 10 % are right: known truth, 50 repeats of each setting.

    python benchmarks/false_discoveries.py [--repeats 50] [--file FILE] [--figure PNG]

100 Gaussian inputs in blocks of five, correlated by 0, 0.4 or 0.8 within a block; 10 of them, drawn at random, matter:
`linear` labels follow the sign of a sum of them with random signs, `products` that of x1 x2 + x3 x4 + ... + x9 x10,
both with logistic noise; 500 or 5,000 rows. The library's default recipe trains eight replicas in four folds, n = 10,
on the inputs and four decoys of each. Prints, for each setting, the realised rate of false discoveries with its
standard error and the share of the ten that is claimed. What FILE has already is not trained again.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset, from_arrays
from pruning_core.selection import compete

INPUTS, MATTER, BLOCK, STEEPNESS, DECOYS = 100, 10, 5, 2.0, 4
SETTINGS = [
    (kind, rows, correlation)
    for kind in ("linear", "products")
    for rows in (500, 5000)
    for correlation in (0.0, 0.4, 0.8)
]
CONFIG = TrialConfig(keep=MATTER, folds=4)


def generated(kind: str, rows: int, correlation: float, seed: int) -> tuple[Dataset, list[int]]:
    """Rows, and which inputs matter."""
    random = np.random.default_rng(seed)
    own = random.standard_normal((rows, INPUTS))
    common = np.repeat(random.standard_normal((rows, INPUTS // BLOCK)), BLOCK, axis=1)
    x = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * common
    matter = random.choice(INPUTS, MATTER, replace=False)
    if kind == "linear":
        score = x[:, matter] @ random.choice([-1, 1], MATTER)
    else:
        score = (x[:, matter[::2]] * x[:, matter[1::2]]).sum(1)
    y = (random.random(rows) < 1 / (1 + np.exp(-STEEPNESS * score))).astype(int)
    cut = int(0.82 * rows)
    return from_arrays((x[:cut], y[:cut]), (x[cut:], y[cut:])), sorted(matter.tolist())


def repeat(kind: str, rows: int, correlation: float, seed: int) -> dict[str, Any]:
    """What is claimed of one generated set."""
    data, matter = generated(kind, rows, correlation, seed)
    found = compete(CONFIG, data, DECOYS, range(8), device="cpu")
    claimed = [int(data.feature_names[i][1:]) for i in found.claimed]
    right = len({*claimed} & {*matter})
    return {"claimed": len(claimed), "right": right, "noise": found.noise}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--file", type=Path, help="JSON lines of what has been trained")
    parser.add_argument("--figure", type=Path, help="where the picture goes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = options.file.read_text().splitlines() if options.file and options.file.exists() else []
    known = {(*each["setting"], each["seed"]): each for each in map(json.loads, lines)}
    started = time.monotonic()
    for seed in range(options.repeats):
        for setting in SETTINGS:
            if (*setting, seed) in known:
                continue
            found = {"setting": setting, "seed": seed, **repeat(*setting, 1000 + seed)}
            known[(*setting, seed)] = found
            if options.file:
                with options.file.open("a") as file:
                    file.write(json.dumps(found) + "\n")
        print(f"{seed + 1} of {options.repeats}, {time.monotonic() - started:.0f} s", file=sys.stderr)
    of_settings = {
        setting: [known[(*setting, seed)] for seed in range(options.repeats) if (*setting, seed) in known]
        for setting in SETTINGS
    }
    print("| labels | rows | correlation | false discoveries, % | claimed of the ten, % | noise foretold, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (kind, rows, correlation), of_setting in of_settings.items():
        false, error, power = rates(of_setting)
        foretold = 100 * float(np.mean([each["noise"] for each in of_setting]))
        print(f"| {kind} | {rows:,} | {correlation} | {false:.1f} ± {error:.1f} | {power:.0f} | {foretold:.0f} |")
    if options.figure:
        draw(of_settings, options.figure)


def rates(found: list[dict[str, Any]]) -> tuple[float, float, float]:
    """The mean share of false discoveries with its standard error, and the share of the ten that is claimed, in %."""
    false = [100 * (1 - each["right"] / each["claimed"]) if each["claimed"] else 0.0 for each in found]
    power = [100 * each["right"] / MATTER for each in found]
    return float(np.mean(false)), float(np.std(false) / np.sqrt(len(false))), float(np.mean(power))


def draw(of_settings: dict[tuple[str, int, float], list[dict[str, Any]]], to: Path) -> None:
    """False discoveries and power of all settings, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    labels = [f"{kind}, {rows:,} rows, ρ = {correlation:g}" for kind, rows, correlation in of_settings]
    places = np.arange(len(labels))[::-1]
    all_rates = np.array([rates(found) for found in of_settings.values()])
    left.errorbar(all_rates[:, 0], places, xerr=2 * all_rates[:, 1], fmt="o", color="#B4451F", capsize=3)
    left.axvline(10, color="#777777", linestyle="--", linewidth=1)
    left.set_xlabel("false discoveries, % (± 2 standard errors)")
    right.barh(places, all_rates[:, 2], color="#2F6F8F", height=0.6)
    right.axvline(80, color="#777777", linestyle="--", linewidth=1)
    right.set_xlabel("claimed of the ten that matter, %")
    left.set_yticks(places, labels)
    left.set_xlim(left=-1)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(to, dpi=110)


if __name__ == "__main__":
    main()
