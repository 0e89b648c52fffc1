"""The command `deeppp`. Ray, Optuna and MLflow are imported only by the subcommands that need them."""

import argparse
import errno
import io
import json
import os
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning_core.data import DataError
from search import terminal
from search.run import Stopped, run_study, settings, sync_study
from search.stores.addresses import Stored, cache_folder, check_file, check_folder, without_password
from search.study import StudyError, load_study, load_trial
from search.study.trying import on, with_some_n
from search.trials.trial import schedule

if TYPE_CHECKING:
    from pruning_core.training import Training
    from search.record.replay import RecordedTrial

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
MOVED = "where the data lies now: its file, or the folder of its files"
STOP = "  (stop with Ctrl-C)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status: 0 done, 2 wrong input, 130 interrupted, 1 anything else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what an encoding lacks shall not end a search
            stream.reconfigure(errors="replace")
    options = parser().parse_args(arguments)
    try:
        with settings():
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

    def add_places(command: argparse.ArgumentParser) -> None:
        command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
        command.add_argument("--tracking-uri", metavar="URI", help="of MLflow (default: a database in DIR)")
        command.add_argument("--storage", metavar="URL", help="of Optuna (default: a database in DIR)")

    add_for_study("check", check, "validate a study file and its data, and show its search space")

    command = add_for_study("trial", trial, "train one configuration in this process")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed (default 0)")
    command.add_argument("--seeds", type=int, metavar="R", help="how many seeds train at once: S, S+1, ...")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="where large data, and nothing else, is kept prepared for the next time (default: runs)",
    )

    command = add_for_study("sync", sync, "deliver to MLflow what the latest search of a study could not log")
    add_places(command)

    command = add_for_study("search", search, "carry out a study")
    command.add_argument("--trials", type=int, metavar="T", help="how many trials (search.trials)")
    add_places(command)
    command.add_argument("--address", metavar="ADDR", help="of a running Ray cluster (default: this machine alone)")
    command.add_argument("--resume", action="store_true", help="go on with the latest search of this study in DIR")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")

    def add_for_run(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        command = add(name, run, help)
        command.add_argument("run_id", metavar="RUN_ID", help="of the trial in MLflow; `deeppp ui` shows it")
        command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
        command.add_argument("--tracking-uri", metavar="URI", help="of MLflow (default: a database in DIR)")
        command.add_argument("--data", type=Path, metavar="PATH", help=MOVED)
        return command

    command = add_for_run("replay", replay, "train a recorded trial again in this process: the same numbers")
    command.add_argument("--epochs", type=int, metavar="E", help="train so many epochs instead")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="overrides",
        help="overrides a hyperparameter",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the result there")

    command = add_for_run("export", export, "write the pruned network of a recorded trial as safetensors and ONNX")
    command.add_argument("--to", type=Path, metavar="FOLDER", help="default: a folder in DIR/export")
    command.add_argument("--seed", type=int, metavar="S", help="of the trial's seeds (default: the best complete one)")

    command = add("report", report, "write figures and a self-contained HTML page about a search")
    command.add_argument("study", metavar="STUDY_NAME", help="a study's name, for its latest search, or a search's")
    command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    command.add_argument("--storage", metavar="URL", help="of Optuna (default: a database in DIR)")
    command.add_argument("--tracking-uri", metavar="URI", help="of MLflow (default: a database in DIR)")
    command.add_argument("--data", type=Path, metavar="PATH", help=MOVED)
    command.add_argument("--to", type=Path, metavar="FILE", help="the page (default: DIR/reports/NAME.html)")

    command = add("ui", ui, "open the MLflow UI on what DIR holds, on 127.0.0.1")
    command.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR", help="default: runs")
    command.add_argument("--tracking-uri", metavar="URI", help="of MLflow (default: a database in DIR)")
    command.add_argument("--port", type=int, default=5000, metavar="PORT", help="default: 5000")
    return main_parser


def check(options: argparse.Namespace) -> int:
    """`deeppp check`."""
    study = load_study(options.study, options.overrides)
    with terminal.reading() as progress:
        data = study.load_data(progress=progress)
    study = on(study, data)
    from pruning_core.network_check import check_network

    network = check_network(study.network.spec, with_some_n(study, data).trial_config(), data)
    terminal.show_study(study, study.varied.table(), data, network)
    terminal.warn(*study.warnings, *data.warnings)
    return DONE


def trial(options: argparse.Namespace) -> int:
    """`deeppp trial`: without Ray, Optuna or MLflow, so that a debugger sees everything."""
    check_file(options.json, "--json")
    if options.seeds is not None:
        options.overrides.append(f"training.seeds={options.seeds}")
    study, config = load_trial(options.study, options.overrides)
    import torch

    from pruning_core.training import train

    torch.set_num_threads(study.resources.threads)
    with terminal.reading() as progress:
        data = study.load_data(cache_folder(options.output), progress)
    study = on(study, data)
    config = config.model_copy(update={"keep": study.data.keeps[0], "folds": study.training.known_folds})
    terminal.warn(*data.warnings)
    seeds = range(options.seed, options.seed + config.seeds)
    _train(train(config, data, seeds, study.network.spec, metric=study.metric(data)), options.json)
    return DONE


def _train(run: "Training", json_file: Path | None = None, last_epoch: int | None = None) -> None:
    """Trains before the user's eyes, to the end or through `last_epoch`."""
    display = terminal.TrialDisplay(run.config.epochs, run.metric)
    try:
        for record in run:
            display.epoch(record)
            if record.epoch == last_epoch:
                break
    except KeyboardInterrupt:
        if run.history.records:
            _write_json(json_file, run.result())
        raise
    display.end(run.result(), run.history, run.data.feature_names)
    _write_json(json_file, run.result())


def search(options: argparse.Namespace) -> int:
    """`deeppp search`."""
    check_file(options.json, "--json")
    if options.trials is not None:
        options.overrides.append(f"search.trials={options.trials}")
    study = load_study(options.study, options.overrides)
    try:
        result = run_study(
            study,
            output=options.output,
            storage=options.storage,
            tracking_uri=options.tracking_uri,
            address=options.address,
            resume=options.resume,
        )
    except Stopped as stopped:
        again = [a for a in sys.argv[1:] if a != "--resume"]
        command = f"deeppp {shlex.join(again)} --resume"
        why = stopped.reason or "interrupted"
        sentence = f"{stopped.label}: {why}; everything so far is saved; go on with:  {command}"
        terminal.errors.print(sentence, markup=False)
        return FAILED if stopped.reason else INTERRUPTED
    terminal.show_result(result.json, study, _stored(options))
    _write_json(options.json, result.json)
    return DONE


def sync(options: argparse.Namespace) -> int:
    """`deeppp sync`."""
    study = load_study(options.study, options.overrides)
    sentence = sync_study(study, options.output, options.storage, options.tracking_uri)
    terminal.console.print(sentence, markup=False)
    return DONE


def _write_json(path: Path | None, value: Any) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n")


def replay(options: argparse.Namespace) -> int:
    """`deeppp replay`: a trial from its MLflow run, without Ray and Optuna, so that a debugger sees everything."""
    from search.record.replay import start, vary

    check_file(options.json, "--json")
    if options.epochs is not None:
        options.overrides.append(f"epochs={options.epochs}")
    recorded = _recorded(options)
    trial = vary(recorded, options.overrides) if options.overrides else recorded
    with terminal.reading() as progress:
        run = start(trial, options.output, progress)
    terminal.warn(*run.data.warnings, *trial.study.network.warnings)
    stopped = f"; was stopped after epoch {trial.last_epoch}" if trial.last_epoch else ""
    terminal.console.print(f"[bold]{trial.name}[/] of the search {trial.search}, {len(trial.seeds)} seeds{stopped}")
    terminal.console.print(schedule(trial.config.used()), style="dim")
    _train(run, options.json, trial.last_epoch)
    if options.overrides:
        terminal.console.print("another trial than the recorded one, so their numbers are not compared")
        return DONE
    return DONE if _same_numbers(trial, run) else FAILED


def _recorded(options: argparse.Namespace) -> "RecordedTrial":
    from search.record.replay import move_data, read_trial

    recorded = read_trial(options.run_id, options.output, options.tracking_uri)
    return recorded if options.data is None else move_data(recorded, options.data)


def _same_numbers(trial: "RecordedTrial", run: "Training") -> bool:
    """Says whether a replay came to the recorded numbers, where there are any."""
    from search.record.replay import differences, other_versions

    if not trial.result:
        terminal.console.print("there are no recorded numbers to compare with")
        return True
    if different := differences(trial, run):
        versions = other_versions(trial)
        why = f"; it was recorded with {', '.join(versions)}" if versions else ""
        terminal.errors.print(f"deeppp: not the recorded numbers: {', '.join(different)}{why}", markup=False)
        return False
    terminal.console.print("the same numbers as recorded, to the last digit", style="green")
    return True


def export(options: argparse.Namespace) -> int:
    """`deeppp export`: from the trial's checkpoint, or from its replay where that is gone."""
    from search.record.export import FILES, choose_replica, write_pruned
    from search.record.replay import from_checkpoint, start

    check_folder(options.to or options.output, "--output" if options.to is None else "--to")
    trial = _recorded(options)
    if trial.result:
        choose_replica(trial.result, options.seed, trial.study.search.score)
    terminal.warn(*trial.study.network.warnings)
    run = from_checkpoint(trial, options.output)
    if run is None:
        with terminal.reading() as progress:
            run = start(trial, options.output, progress)
        terminal.console.print(f"training {trial.name} again, its checkpoint is gone")
        _train(run, last_epoch=trial.last_epoch)
        _same_numbers(trial, run)
    replica = choose_replica(run.result(), options.seed, trial.study.search.score)
    name = f"trial_{trial.number:05d}_seed_{trial.seeds[replica]}"
    folder = options.to or options.output / "export" / trial.search / name
    written = write_pruned(folder, trial, run, replica)
    terminal.console.print(
        f"[bold]{trial.name}[/] of the search {trial.search}, seed {trial.seeds[replica]}: {written.summary}"
    )
    if written.some_dropped:
        terminal.console.print(f"kept: {', '.join(written.columns)}", markup=False)
    terminal.console.print(f"{folder}:  {', '.join(FILES)}", markup=False)
    table = terminal.plain_table("", "before", "after")
    for name, before, after in written.table:
        table.add_row(name, f"{before:,.0f}", f"{after:,.0f}")
    terminal.console.print(table)
    terminal.console.print(
        f"compared with the network under the hard mask on {written.rows} validation rows: a logit differs by at most "
        f"{written.largest:.1g}"
    )
    terminal.warn(*(sentence for sentence in (written.masked, written.slower) if sentence))
    if written.other_class:
        terminal.warn(
            f"{written.other_class} of {written.rows} validation rows get another class than from the masked network: "
            "their raw values need more digits than float32 has"
        )
    return DONE


def _stored(options: argparse.Namespace) -> Stored:
    return Stored(options.output, options.storage, options.tracking_uri)


def report(options: argparse.Namespace) -> int:
    """`deeppp report`."""
    from search.report.page import write_report

    check_file(options.to, "--to")
    page = write_report(
        options.study,
        _stored(options),
        data_file=options.data,
        to=options.to,
        say=lambda line: terminal.console.print(line, markup=False, style="dim"),
    )
    terminal.console.print(f"report:  {page}", markup=False)
    return DONE


def ui(options: argparse.Namespace) -> int:
    """`deeppp ui`: becomes the MLflow server, unless the store is one already."""
    from search.record.moved import left_behind
    from search.record.store import Store

    store = Store(options.tracking_uri, options.output)
    if store.is_default and (old := left_behind(options.output)):
        terminal.warn(
            f"--output {options.output} has moved and cannot be written to: MLflow looks for its artifacts where they "
            f"were, in {old[0]}; a copy of the folder shows them"
        )
    is_server = store.uri.startswith(("http://", "https://"))
    address = store.uri.rstrip("/") if is_server else f"http://127.0.0.1:{options.port}"
    found = store.views(address)
    if not found:
        where = f"--output {options.output}" if store.is_default else f"MLflow at {without_password(store.uri)}"
        raise StudyError(f"{where} holds no search yet: run one first")
    if not is_server:
        _check_port(options.port)
    terminal.console.print(f"MLflow UI:  [bold]{without_password(address)}[/]{'' if is_server else STOP}")
    for study, view, link in found:
        terminal.console.print(f"{study}, {view[0].lower()}{view[1:]}:  {without_password(link)}", markup=False)
    if is_server:
        return DONE
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(options.port)]
    os.execv(sys.executable, [*command, "--backend-store-uri", store.uri])


def _check_port(port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OverflowError:
        raise StudyError(f"--port {port} must lie in 0 ... 65535") from None
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise StudyError(f"--port {port} {reason}: name another one") from None
