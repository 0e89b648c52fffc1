"""What changes in place in a notebook, as rich's `Live` does in a terminal."""

import io
import time
from collections.abc import Callable

from IPython.display import HTML, DisplayHandle, display
from rich.console import Console, RenderableType

SECONDS_BETWEEN = 0.5
WIDTH = 100
FORM = '<pre style="white-space:pre;overflow-x:auto;line-height:normal">{code}</pre>'


class InPlace:
    """An output of a cell that is replaced as the search goes on, and empty at its end.

    Args:
        render: gives what is to be seen now.
    """

    def __init__(self, render: Callable[[], RenderableType]) -> None:
        self.render = render
        self.handle: DisplayHandle | None = None
        self.shown = 0.0

    def start(self) -> None:
        """Opens the output."""
        self.handle = display(self._html(), display_id=True)
        self.shown = time.monotonic()

    def refresh(self) -> None:
        """Shows what is to be seen now, unless it has done so a moment ago."""
        if self.handle and time.monotonic() - self.shown > SECONDS_BETWEEN:
            self.handle.update(self._html())
            self.shown = time.monotonic()

    def stop(self) -> None:
        """Empties the output."""
        if self.handle:
            self.handle.update(HTML(""))

    def _html(self) -> HTML:
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_jupyter=False, force_terminal=True)
        console.print(self.render())
        return HTML(console.export_html(inline_styles=True, code_format=FORM))
