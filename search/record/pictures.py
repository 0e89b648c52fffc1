"""Pictures of the gates of trials, which take a hundredth of a search's time at most."""

import time
from pathlib import Path

from search.record import summary

SHARE = 0.01


class Pictures:
    """Draws trials while the drawing so far has taken less than `SHARE` of the time since the search began.

    A picture takes 0.1 s: of trials that take seconds all are drawn, of very short ones only some.
    """

    def __init__(self) -> None:
        self.drawn: set[int] = set()
        self._began = time.monotonic()
        self._spent = 0.0

    def affordable(self) -> bool:
        """Whether there is time for a picture; always for the first one."""
        return self._spent <= SHARE * (time.monotonic() - self._began)

    def draw(self, folder: Path, number: int, remains: summary.Remains) -> None:
        """Writes `gates.png` of a trial into a folder, if it left behind what that needs."""
        if not (remains.trial and remains.history and remains.gates):
            return
        from search.figures import gates  # takes half a second for which the start of a search need not wait

        began = time.thread_time()
        strategy = remains.trial["config"]["strategy"]
        title = f"{strategy} #{number}: {summary.completions(remains.trial)}"
        gates.gate_trajectories(folder / "gates.png", title, remains.trial, remains.history, remains.gates)
        self.drawn.add(number)
        self._spent += time.thread_time() - began
