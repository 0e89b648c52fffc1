"""What driver and worker tell each other arrives as it was sent."""

import json
import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from search.trials.order import Order, Report, Terms

number = st.floats(allow_nan=False, width=64)
terms = st.builds(
    Terms,
    folder=st.text(),
    threads=st.integers(1, 64),
    device=st.sampled_from(["cpu", "cuda"]),
    cpu=st.floats(0.1, 64),
    gpu=st.floats(0, 8),
    together=st.integers(1, 32),
    stop_hopeless=st.booleans(),
    report_after=st.floats(0, 60),
)
reports = st.builds(
    Report,
    epoch=st.integers(0, 10**6),
    total_loss=number,
    score=number,
    standard_error=number,
    curve=st.lists(st.tuples(st.integers(1, 10**6), number), max_size=12).map(tuple),
    completed=st.floats(0, 1),
    completion_epoch=number,
    active=number,
    ended=st.booleans(),
    stopped=st.text(),
    error=st.text(),
)


@given(st.integers(0, 10**6), st.text(), terms)
def test_an_order_arrives_as_it_was_sent(trial: int, hyperparameters: str, of_all: Terms) -> None:
    order = Order(trial, hyperparameters, of_all)
    assert Order.read(order.as_text()) == order


@given(reports)
def test_a_report_arrives_as_it_was_sent_among_what_tune_adds(report: Report) -> None:
    sent = {**report.as_dict(), "done": report.ended, "hostname": "here", "training_iteration": 3}
    assert Report.read(sent) == report
    through_json = Report.read(json.loads(json.dumps(sent)))
    assert replace(through_json, curve=()) == replace(report, curve=())


def test_a_failure_is_an_end_without_numbers() -> None:
    failure = Report.failure("Traceback ...\nRuntimeError: out of memory")
    assert failure.ended
    assert (failure.epoch, failure.completed, failure.curve, failure.stopped) == (0, 0.0, (), "")
    assert all(
        math.isnan(value)
        for value in (failure.total_loss, failure.score, failure.standard_error, failure.completion_epoch)
    )
    assert failure.error.endswith("out of memory")
