"""What a search shows, step by step, for a test that looks at the terminal: each step waits for a line of input.

No trial is trained: `search.terminal` is told what a search would tell it.
"""

import os
import sys
import time
from pathlib import Path

from search import terminal
from search.cli import main
from search.stores.addresses import Stored
from search.study import Study
from search.trials.trial import Trial

STUDY = Study.model_validate({"name": "wine", "data": {"source": "wine", "keep": 4}, "search": {"confirm_seeds": 16}})
SPACE = {"lambda_start": 0.0123, "growth": 1.5, "step_epochs": 20, "mu": "frozen", "learning_rate": 0.005}
ENTRY = {
    **{"trials": 14, "completed": 11, "trial": 12, "config": {"strategy": "stepped", **SPACE}},
    **{"validation": {"mean": 0.9613, "std": 0.0123}, "test": {"mean": 0.9512, "std": 0.0089}},
    **{"outcome": {"complete": 1.0}, "completion_epoch": {"mean": 28.4}},
    "selected": [f"pixel_{row}_{column}" for row in range(4) for column in range(4)],
}
RESULT = {
    **{"study": "wine", "trials": 40, "stopped": 3, "failed": 0, "seconds": 754.0, "replica_epochs_per_second": 1234.5},
    **{"strategies": dict.fromkeys(("stepped", "plateau", "markov"), ENTRY), "winner": "stepped", "errors": {}},
    "model": {"uri": "models:/wine/1", "seed": 1000003, "test_accuracy": 0.9512},
}


def step() -> None:
    """Gives the live display time to draw, and waits."""
    time.sleep(0.8)
    os.write(1, b"\x1b]0;stop\x07")
    input()


def train(display: terminal.SearchDisplay) -> None:
    """Twelve trials of three strategies."""
    for number in range(12):
        display.trial_started(number)
        params = {"strategy": ("stepped", "plateau", "markov")[number % 3], **SPACE}
        score = 0.9 + number / 200
        display.trial_ended(Trial(number, params, ending="ended", score=score, complete=1.0, epochs_run=9))


def look(study: Path) -> None:
    """`check`, `trial`, a search on its way, its confirmation and its end."""
    main(["check", str(study)])
    step()
    main(["trial", str(study)])
    step()
    display = terminal.SearchDisplay()
    display.begin(STUDY, "wine", budget=40)
    train(display)
    step()
    display.confirming(8)
    for _ in range(3):
        display.confirmed()
    step()
    display.end()
    terminal.warn(
        "inputs with the name of an id or a weight: event_number, generator_weight; data.exclude leaves them out"
    )
    terminal.show_result(RESULT, STUDY, Stored(Path("my runs")))
    step()


if __name__ == "__main__":
    look(Path(sys.argv[1]))
