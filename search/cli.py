"""The command `deeppp`. Ray, Optuna and MLflow are imported only by the subcommands that need them."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pruning_core.datasets import DataError
from search import terminal
from search.space import table
from search.study import StudyError, load_study, load_trial

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status: 0 done, 2 wrong input, 130 interrupted, 1 anything else."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (StudyError, DataError) as error:
        terminal.errors.print(f"deeppp: {error}", markup=False)
        return WRONG_INPUT
    except KeyboardInterrupt:
        terminal.errors.print("deeppp: interrupted")
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line of `deeppp`."""
    main_parser = argparse.ArgumentParser(
        prog="deeppp", description="Searches for the schedule under which the pruning of a network completes."
    )
    commands = main_parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        command.set_defaults(run=run)
        return command

    study = argparse.ArgumentParser(add_help=False)
    study.add_argument("study", metavar="STUDY", type=Path, help="the study file (YAML)")
    study.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="overrides a key of the study",
    )

    def add_for_study(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", parents=[study])
        command.set_defaults(run=run)
        return command

    add_for_study("check", check, "validate a study file and its data, and show its search space")

    command = add_for_study("trial", trial, "train one configuration in this process")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed (default 0)")
    command.add_argument("--seeds", type=int, metavar="R", help="how many seeds train at once: S, S+1, ...")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")

    command = add_for_study("search", search, "carry out a study")
    command.add_argument("--trials", type=int, metavar="T", help="how many trials (search.trials)")
    command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    command.add_argument("--address", metavar="ADDR", help="of a running Ray cluster (default: this machine alone)")
    command.add_argument("--tracking-uri", metavar="URI", help="of MLflow (default: a database in DIR)")
    command.add_argument("--storage", metavar="URL", help="of Optuna (default: a database in DIR)")
    command.add_argument("--resume", action="store_true", help="go on with the latest search of this study in DIR")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")

    command = add("ui", ui, "open the MLflow UI on what DIR holds, on 127.0.0.1")
    command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    command.add_argument("--port", type=int, default=5000, metavar="PORT", help="default: 5000")
    return main_parser


def check(options: argparse.Namespace) -> int:
    """`deeppp check`."""
    study = load_study(options.study, options.overrides)
    data = study.load_data()
    terminal.show_study(study, table(study), data)
    terminal.warn(*study.warnings, *data.warnings)
    return DONE


def trial(options: argparse.Namespace) -> int:
    """`deeppp trial`: without Ray, Optuna or MLflow, so that a debugger sees everything."""
    if options.seeds is not None:
        options.overrides.append(f"training.seeds={options.seeds}")
    study, config = load_trial(options.study, options.overrides)
    import torch

    from pruning_core.training import train

    torch.set_num_threads(study.resources.threads)
    data = study.load_data()
    terminal.warn(*data.warnings)
    seeds = range(options.seed, options.seed + config.seeds)
    run = train(config, data, seeds)
    display = terminal.TrialDisplay(config.epochs, config.keep)
    try:
        for record in run:
            display.epoch(record)
    except KeyboardInterrupt:
        if run.history.records:
            _write_json(options.json, run.result())
        raise
    display.end(run.result(), run.history)
    _write_json(options.json, run.result())
    return DONE


def search(options: argparse.Namespace) -> int:
    """`deeppp search`."""
    if options.trials is not None:
        options.overrides.append(f"search.trials={options.trials}")
    study = load_study(options.study, options.overrides)
    from search import runner

    display = terminal.SearchDisplay()
    try:
        result = runner.search(
            study,
            options.output,
            address=options.address,
            tracking_uri=options.tracking_uri,
            storage=options.storage,
            resume=options.resume,
            display=display,
        )
    except runner.Interrupted as interrupted:
        again = [a for a in sys.argv[1:] if a != "--resume"]
        command = f"deeppp {shlex.join(again)} --resume"
        sentence = f"{interrupted.label}: interrupted, everything so far is saved; go on with:  {command}"
        terminal.errors.print(sentence, markup=False)
        return INTERRUPTED
    terminal.show_result(result, study, str(options.output))
    _write_json(options.json, result)
    return DONE


def _write_json(path: Path | None, value: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n")


def ui(options: argparse.Namespace) -> int:
    """`deeppp ui`: becomes the MLflow server."""
    database = options.output.absolute() / "mlflow.db"
    if not database.exists():
        raise StudyError(f"--output {options.output} holds no mlflow.db yet: run a search first")
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.port))
        except OSError:
            raise StudyError(f"--port {options.port} is in use: name another one") from None
    terminal.console.print(f"MLflow UI:  [bold]http://127.0.0.1:{options.port}[/]  (stop with Ctrl-C)")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(options.port)]
    os.execv(sys.executable, [*command, "--backend-store-uri", f"sqlite:///{database}"])
