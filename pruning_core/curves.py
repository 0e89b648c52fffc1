"""Curves over epochs as a small picture (SVG) for a notebook, which needs no plotting library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 170, 44, 26, 34
COLOURS, MUTED = ("#0072B2", "#D55E00"), "#707070"


@dataclass(frozen=True)
class Panel:
    """One picture, from 0 to `most`: named curves of R replicas, (E, R) each."""

    title: str
    curves: dict[str, NDArray[np.floating]]
    most: float


def curves_html(head: str, panels: Sequence[Panel]) -> str:
    """The panels beside each other under a line of text: replicas thin, their mean thick."""
    width, height = len(panels) * (WIDTH + LEFT + GAP), HEIGHT + TOP + GAP
    drawn = "".join(_panel(place, panel) for place, panel in enumerate(panels))
    return (
        f"<div>{escape(head)}<br>"
        f'<svg width="{width}" height="{height}" font-family="sans-serif" font-size="12">{drawn}</svg></div>'
    )


def _panel(place: int, panel: Panel) -> str:
    epochs = max(len(values_ER) for values_ER in panel.curves.values())
    drawn = [f'<path d="M0 0V{HEIGHT}H{WIDTH}" fill="none" stroke="{MUTED}"/>']
    drawn += [_text(-6, 4, f"{panel.most:g}", "end"), _text(-6, HEIGHT + 4, "0", "end")]
    drawn += [_text(WIDTH, HEIGHT + 18, f"epoch {epochs}", "end"), _text(0, -10, panel.title, "start")]
    for number, (name, values_ER) in enumerate(panel.curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn += [_line(values_E, panel.most, colour, 0.4) for values_E in values_ER.T]
        drawn += [
            _line(values_ER.mean(1), panel.most, colour, 2.0),
            _text(WIDTH - 50 * number, -10, name, "end", colour),
        ]
    return f'<g transform="translate({LEFT + place * (WIDTH + LEFT + GAP)} {TOP})">{"".join(drawn)}</g>'


def _line(values_E: NDArray[np.floating], most: float, colour: str, thickness: float) -> str:
    """A curve over the epochs, the first at the left edge."""
    x = np.linspace(0, WIDTH, len(values_E)) if len(values_E) > 1 else np.array([WIDTH])
    y = HEIGHT * (1 - np.clip(values_E / most, 0, 1))
    points = " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thickness}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = MUTED) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
