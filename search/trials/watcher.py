"""Who watches a search, and is told what happens: the terminal shows it, `Watcher` itself says nothing."""

import logging
from collections.abc import Sequence

from pruning_core.metrics import Metric
from search.study import Study
from search.trials.enough import Curve
from search.trials.trial import Trial


class Watcher:
    """Is told what happens, from one thread, and does nothing about it but log warnings."""

    def begin(self, study: Study, label: str, budget: int) -> None:
        """A search of so many trials begins, or goes on."""

    def starts(self, sentence: str) -> None:
        """The search starts from earlier ones; the sentence says with how much."""

    def trial_started(self, number: int) -> None:
        """A trial begins, or begins again after a fault."""

    def trial_lost(self, number: int) -> None:
        """A trial lost its worker; it will be started again."""

    def trial_ended(self, trial: Trial, here: bool = True) -> None:
        """A trial is over; `here` is false for one that was over before this run of the search."""

    def looking(self, keeps: Sequence[int], pieces: int) -> None:
        """How many inputs are enough is being found out: what comes next trains at these n, in so many pieces."""

    def looked(self) -> None:
        """A piece of that is done."""

    def found(self, curve: Curve, metric: Metric) -> None:
        """It is known how many inputs are enough."""

    def confirming(self, pieces: int) -> None:
        """The trials are done, the best of each strategy are being confirmed, for each n in turn, in so many pieces."""

    def confirmed(self) -> None:
        """A piece of the confirmation is done."""

    def warn(self, *sentences: str) -> None:
        """Something is not as it should be, and the search goes on."""
        for sentence in sentences:
            logging.getLogger("deeppp").warning(sentence)

    def end(self) -> None:
        """The search is over, or stopped."""
