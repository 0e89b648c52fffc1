"""The report about a search: figures and one self-contained HTML page, of which MLflow gets a copy.

It reads what the search left in Optuna and MLflow, trains a few networks for comparison, and changes nothing else.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import ValidationError

from pruning_core.data import DataError, Dataset
from search.report import comparison, roc
from search.report import enough as report_enough
from search.report import inputs as report_inputs
from search.report import keeps as report_keeps
from search.report import regions as report_regions
from search.report import sections as report_sections
from search.report.blocks import Section, render
from search.report.findings import data_name, opening
from search.report.search_record import SearchRecord, read_search
from search.stores.addresses import Stored, cache_folder
from search.study import Study, StudyError, paths
from search.study.network import Network
from search.trials.estimate import count

Say = Callable[[str], None]


def write_report(
    name: str, stored: Stored, *, data_file: Path | None = None, to: Path | None = None, say: Say = print
) -> Path:
    """Writes the page about a search, and logs it with its figures to the search's run in MLflow under `report/`.

    Args:
        name: of a study, for its latest search, or of a search.
        stored: where the search's results are.
        data_file: where the study's data lies now, if it was moved: its file, or the folder above all of its files.
        to: the page; None stands for `output`/reports/LABEL.html.
        say: is told what is going on, line by line.

    Returns:
        The page.

    Raises:
        StudyError: there is no such search, no trial of it is over, or the page cannot be written.
    """
    search = read_search(name, stored)
    output = stored.output
    if not search.trials:
        raise StudyError(f"no trial of the search {search.label} is over yet, so there is nothing to report")
    page = to or output / "reports" / f"{search.label}.html"
    _check_writable(page)
    say(f"{search.label}: {count(len(search.trials), 'trial')} of {', '.join(search.strategies)}")
    if not search.finished:
        say("the search is not finished: the report shows what there is so far")
    data, why = _load_data(search, data_file, output)
    changed = Network.model_validate(search.study.get("network") or {}).warnings
    for sentence in changed:
        say(sentence)
    if why:
        say(f"no comparison with other networks: {why}")
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        html = _html(search, folder, Data(data, why), output, changed, say)
        page.write_text(html, encoding="utf-8")
        (folder / f"{search.label}.html").write_text(html, encoding="utf-8")
        if problem := search.store.log(search.parent, folder, "report"):
            say(f"MLflow did not take the report: {problem}")
    return page


def _check_writable(page: Path) -> None:
    """Refuses a page that could not be written, before the work of making it."""
    reason = "it is a folder" if page.is_dir() else ""
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=page.parent):
            pass
    except OSError as error:
        reason = str(error.strerror)
    if reason:
        raise StudyError(f"the page {page} cannot be written: {reason}")


class Data(NamedTuple):
    """The data of a search, or None and why it is not there."""

    set: Dataset | None
    why: str


def _load_data(search: SearchRecord, moved: Path | None, output: Path) -> tuple[Dataset | None, str]:
    """The data of the search if it is still there and the same, else why not."""
    document = search.study
    if moved:
        document = {**document, "data": paths.moved(document["data"], moved)}
    try:
        data = Study.model_validate(document).load_data(cache_folder(output))
    except (DataError, StudyError, ValidationError) as error:
        return None, str(error).splitlines()[0]
    if data.fingerprint != search.tags.get("fingerprint"):
        return None, f"{data.name} has changed since the search"
    return data, ""


def _html(search: SearchRecord, folder: Path, found: Data, output: Path, changed: Sequence[str], say: Say) -> str:
    data = found.set
    notes = [] if search.finished else ["The search is not finished: what follows will change."]
    notes += [f"{sentence}." for sentence in changed]
    say("drawing the trials")
    inputs = len(data.feature_names) if data else None
    if len(search.keeps) == 1:
        sections, networks = _sections(search, folder, found, say)
        sentences = opening(search, inputs) + comparison.summary(search, networks)
        if search.result.get("keep"):
            sections.insert(0, report_enough.section(search, folder))
    else:
        sections = []
        full: list[float] = []
        for keep in sorted(search.keeps):
            say(f"n = {keep}")
            place = folder / f"n_{keep}"
            place.mkdir()
            mine, networks = _sections(search.at(keep), place, found, say)
            sections += [replace(section, title=f"{section.title}, n = {keep}") for section in mine]
            full = networks["full"].test if networks else full
        sections.insert(0, report_keeps.section(search, full, folder))
        sentences = report_keeps.opening(search, inputs, full)
    sizes = f" ({Study.model_validate(search.study).rows_of(data)})" if data else ""
    return render(
        {
            "title": search.label,
            "subtitle": f"Report of a pruning search on {data_name(search.study['data'])}{sizes}, "
            f"{datetime.now():%d %B %Y}".replace(", 0", ", "),
            "opening": [" ".join(sentences[:2]), " ".join(sentences[2:])],
            "notes": notes,
            "sections": sections,
            "commands": _commands(search, output),
            "fingerprint": search.tags.get("fingerprint", "unknown"),
            "versions": ", ".join(
                f"{tag.removeprefix('version.')} {value}"
                for tag, value in search.tags.items()
                if tag.startswith("version.")
            ),
            "study": yaml.safe_dump(search.study, sort_keys=False, allow_unicode=True, default_flow_style=None),
        }
    )


def _sections(search: SearchRecord, folder: Path, found: Data, say: Say) -> tuple[list[Section], comparison.Networks]:
    """The sections about a search with a single n, and the networks that were trained to stand beside its winner."""
    data, why = found
    sections = [
        report_sections.strategies(search),
        report_sections.outcomes(search, folder),
        report_sections.score_and_speed(search, folder),
        report_sections.space(search, folder),
        report_sections.separation(search, folder),
        report_sections.gates(search, folder),
    ]
    if not search.result.get("winner"):
        return sections, {}
    best = search.result["strategies"][search.result["winner"]]
    networks = comparison.compare(search, data, say) if data else {}
    inputs = len(data.feature_names) if data else None
    sections.append(comparison.section(search, networks, data, why, folder))
    if data and "roc" in best:
        sections.append(roc.section(search, networks, data, folder))
    if not best["selected"]:
        return sections, networks
    sections.append(report_sections.selection(search, folder, inputs))
    if data:
        sections.append(report_inputs.section(search, data, folder))
        mistakes_B = comparison.mistakes_of_winner(search, networks, data, say)
        sections.append(report_regions.section(data, best["selected"], mistakes_B, networks["full"].mistakes_B, folder))
    return sections, networks


def _commands(search: SearchRecord, output: Path) -> str:
    best = (search.result.get("strategies") or {}).get(search.result.get("winner"), {})
    run_id = best.get("run_id") or next((t.run_id for t in search.trials if t.run_id), "RUN_ID")
    there = "" if output == Path("runs") else f" --output {output}"
    commands = [
        (f"deeppp search {search.study['name']}.yaml{there}", "the whole search, with the study below in that file"),
        (f"deeppp replay {run_id}{there}", "the winner alone: the same numbers" if best else "a trial alone"),
        (f"deeppp ui{there}", "every trial in MLflow"),
    ]
    width = max(len(command) for command, _ in commands)
    return "\n".join(f"{command:{width}}  # {what}" for command, what in commands)
