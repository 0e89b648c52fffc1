"""Rebuilds FINDINGS.md from scratch: runs every search behind it, draws the figures, puts the numbers into the page.

    python -m studies.findings [--quick] [--output runs/findings] [--page studies/FINDINGS.md]

A second call goes on where the first one was interrupted; to begin anew, remove the output folder. `--quick` trains
fewer seeds and trials and writes its page below the output folder: it shows that all of this works, not what is true.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import accuracy
from pruning_core.data import Dataset, load_dataset
from search.trials.estimate import Estimate, gap
from studies import evidence, pictures
from studies.searches import (
    SAMPLERS,
    STUDIES,
    DataSet,
    Trial,
    data_sets,
    planned,
    read_result,
    read_trials,
    run_all,
    sampler_seeds,
)

TEMPLATE = "FINDINGS.md.j2"


def gather(
    output: Path,
    sets: Mapping[str, DataSet],
    data: Mapping[str, Dataset],
    quick: bool,
) -> dict[str, Any]:
    """All numbers of the page, by the names that its template uses."""
    fixed = evidence.by_alpha(output, "fixed_alpha")
    fixed_elsewhere = evidence.by_alpha(output, "fixed_alpha_breast_cancer")
    plateau = evidence.table(
        output,
        "plateau",
        ("strategy", "plateau_monitor", "plateau_threshold", "patience", "growth", "step_epochs"),
    )
    chain = {
        name: evidence.table(output, search, ("strategy", "delta", "block", "proposals", "temperature"))
        for name, search in {name: _of_chain(name) for name in sets}.items()
    }
    tables = {name: evidence.confirmed(output, f"ranking_{name}") for name in sets}
    return {
        "sets": {
            name: {"inputs": len(d.feature_names), "keep": sets[name].keep, "rows": len(d.train.y)}
            for name, d in data.items()
        },
        "slopes": evidence.slopes(),
        "rejection": evidence.rejection(output, sets),
        "smoothing": {
            name: evidence.table(output, f"label_smoothing_{name}", ("label_smoothing", "rejection")) for name in sets
        },
        "fixed": fixed,
        "fixed_summary": evidence.fixed_summary([row for rows in fixed.values() for row in rows]),
        "fixed_summary_elsewhere": evidence.fixed_summary([r for rows in fixed_elsewhere.values() for r in rows]),
        "ratio": evidence.table(
            output, "ratio", ("label_smoothing", "rejection_weight", "window", "pruner_learning_rate")
        ),
        "mu": evidence.table(output, "mu_readings", ("mu", "pruner_learning_rate")),
        "plateau_marginals": evidence.marginals(
            [row for row in plateau if row["strategy"] == "plateau"],
            ("plateau_monitor", "plateau_threshold", "patience", "growth"),
        ),
        "stepped_marginals": evidence.marginals(
            [row for row in plateau if row["strategy"] == "stepped"], ("growth", "step_epochs")
        ),
        "plateau_confirmed": evidence.confirmed(output, "plateau"),
        "chain_marginals": evidence.marginals(
            [row for row in chain["digits"] if row["strategy"] == "markov"],
            ("delta", "block", "proposals", "temperature"),
        ),
        "chain": {name: evidence.against_chain(rows) for name, rows in chain.items()},
        "tables": tables,
        "ranks": evidence.ranks(tables),
        "importances": {s: evidence.importances(output, sets, s) for s in ("stepped", "plateau", "markov")},
        "carried": evidence.carry_over(output, sets, data, 2 if quick else 16),
        "samplers": evidence.samplers(output, sampler_seeds(quick)),
        "stopping": evidence.stopping(output),
        **against_baselines(),
        "winners": {name: read_result(output, f"ranking_{name}")["winner"] for name in sets},
    }


def against_baselines() -> dict[str, Any]:
    """The searched winners against inputs chosen by other methods, as `benchmarks/accuracy.py --json` left them."""
    measured: dict[str, list[dict[str, Any]]] = {}
    for split in json.loads((STUDIES / "accuracy.json").read_text()):
        measured.setdefault(split["study"], []).append(split)
    compared = {study: accuracy.compare(splits) for study, splits in measured.items()}
    return {"accuracy": compared, "accuracy_trials": max(s["trials"] for of in measured.values() for s in of)}


def _of_chain(name: str) -> str:
    return "chain" if name == "digits" else f"chain_{name}"


def draw(folder: Path, output: Path, numbers: Mapping[str, Any]) -> None:
    """All figures of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures.slopes(folder / "slopes.png", numbers["slopes"], numbers["rejection"])
    pictures.outcomes_by_alpha(folder / "fixed_alpha.png", numbers["fixed"])
    fixed = {t["lambda_start"]: t for t in read_trials(output, "fixed_alpha") if t["pruner_learning_rate"] == 0.05}
    gradual = next(
        t
        for t in read_trials(output, "rejection_loss_digits")
        if t["rejection"] == "plain" and t["initial_weight"] == 3
    )
    examples = {f"fixed α = {alpha:g}": fixed[alpha] for alpha in (min(fixed), 1, max(fixed)) if alpha in fixed}
    pictures.gates_side_by_side(folder / "gates.png", examples | {"α grows by 1.15 an epoch": gradual})
    readings = [t for t in read_trials(output, "mu_readings") if t["pruner_learning_rate"] == 0.05]
    pictures.alphas(folder / "mu_readings.png", {t["mu"]: t for t in readings})
    pictures.acceptance(folder / "chain.png", _chains(read_trials(output, "chain")))
    pictures.ranking(folder / "ranking.png", numbers["tables"])
    pictures.best_found(folder / "samplers.png", {name: numbers["samplers"][name] for name in SAMPLERS})


def _chains(trials: list[Trial]) -> dict[str, Trial]:
    """One chain for each block at delta 1, one proposal and temperature 0, as far as they were tried."""
    found = {}
    for trial in trials:
        config = trial.result["config"]
        if config["strategy"] == "markov" and (config["delta"], config["proposals"], config["temperature"]) == (
            1,
            1,
            0,
        ):
            found[f"block {config['block']:g}"] = trial
    return dict(sorted(found.items()))


def environment() -> Environment:
    """Where the page's template finds its filters; a number that is not there is an error."""
    made = Environment(
        loader=FileSystemLoader(STUDIES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"pct": _per_cent, "num": _number, "short": lambda e: e.short, "gap": gap}
    return made


def render(page: Path, figures: str, numbers: Mapping[str, Any], minutes: float) -> None:
    """Writes the page: the template's prose with the numbers of this build."""
    text = environment().get_template(TEMPLATE).render(**numbers, figures=figures, minutes=minutes)
    page.write_text(text + "\n", encoding="utf-8")


def _per_cent(fraction: float | None, digits: int = 1) -> str:
    return "–" if fraction is None else f"{100 * fraction:.{digits}f} %"


def _number(value: Any, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Runs, gathers, draws, renders."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few seeds and trials, in minutes")
    parser.add_argument("--output", type=Path, help="default: runs/findings, or runs/findings_quick")
    parser.add_argument("--page", type=Path, help="default: studies/FINDINGS.md; for --quick, below the output folder")
    options = parser.parse_args()
    output = (options.output or Path("runs/findings_quick" if options.quick else "runs/findings")).absolute()
    page = options.page or (output / "FINDINGS.md" if options.quick else STUDIES / "FINDINGS.md")
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{(time.monotonic() - started) / 60:5.1f} min  {line}", flush=True)

    torch.set_num_threads(1)
    sets = data_sets(output / "data", options.quick)
    searches = planned(sets, options.quick)
    run_all(searches, output, options.quick, say)
    spent = sum(read_result(output, s.name)["seconds"] for s in searches)
    gathering = time.monotonic()
    say("gathering the numbers; training the winners on each other's data")
    data = {name: load_dataset(s.source, target=s.target, folder=STUDIES) for name, s in sets.items()}
    numbers = gather(output, sets, data, options.quick)
    (output / "numbers.json").write_text(json.dumps(numbers, indent=1, default=_plain))
    figures = page.parent / "figures"
    draw(figures, output, numbers)
    render(page, figures.name, numbers, (spent + time.monotonic() - gathering) / 60)
    say(f"{page}")


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate | accuracy.Compared):
        return vars(value)
    raise TypeError(f"no plain form of {type(value).__name__}")


if __name__ == "__main__":
    main()
