"""Bar charts that the server draws: the geometry, for `components/bar_chart.html`.

Across, positions are percent of the plot, so that a chart is as wide as its column and its words keep their size; down, they
are pixels. Values are integers; how they read is the caller's matter, since only it knows the unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

PLOT_PX = 200  # from the highest tick to the lowest
TOP_PX = 10  # room for half a line of text above the highest tick
FOOT_PX = 26  # the labels under the bars
TICKS = 4
MAX_LABELS = 8  # that a phone has room for
FILLED_PERMILLE = 720  # of a bar's place; the rest is air
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Series:
    """One part of every bar. `key` ends up in a CSS class: the first that is given lies at the bottom."""

    key: str
    label: str
    values: Sequence[int]


@dataclass(frozen=True)
class Tick:
    y: float
    label: str
    is_zero: bool

    @property
    def label_y(self) -> float:
        return self.y + 4


@dataclass(frozen=True)
class Part:
    key: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    x: float
    width: float
    middle: float
    label: str  # "" where there is no room for it
    words: str  # all of it, for whoever points at the bar
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class BarChart:
    title: str
    description: str
    legend: tuple[tuple[str, str], ...]  # key, label
    ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]
    height: int = TOP_PX + PLOT_PX + FOOT_PX
    label_y: int = TOP_PX + PLOT_PX + FOOT_PX - 6

    @property
    def is_empty(self) -> bool:
        return not any(bar.parts for bar in self.bars)


def bar_chart(
    *,
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[Series],
    say: Callable[[int], str],
) -> BarChart:
    """Stacked bars, one for each label: parts above zero upwards, parts below it downwards. `say` writes a value out."""
    stacks = [list(values) for values in zip_longest(*(one.values for one in series), fillvalue=0)]
    stacks += [[0] * len(series) for _ in range(len(labels) - len(stacks))]
    low, high = _bounds(stacks)
    marks = ticks(low, high)
    scale = _Scale(marks[0], marks[-1])
    return BarChart(
        title=title,
        description=description,
        legend=tuple((one.key, one.label) for one in series),
        ticks=tuple(Tick(scale.y(value), say(value), value == 0) for value in marks),
        bars=tuple(
            _bar(index, len(labels), label, list(zip(series, values, strict=True)), scale, say)
            for index, (label, values) in enumerate(zip(labels, stacks, strict=True))
        ),
    )


def ticks(low: int, high: int, count: int = TICKS) -> list[int]:
    """Round values from `low` or below it to `high` or above it, zero among them: steps of 1, 2 or 5 times a power of ten."""
    step = _round_up(max(high - low, count) / count)
    first, last = low // step, -(-high // step)
    return [step * index for index in range(min(first, 0), max(last, 1 if low >= 0 else 0) + 1)]


def _round_up(value: float) -> int:
    power = 1
    while power * 10 < value:
        power *= 10
    return power * next(step for step in STEPS if step * power >= value)


def _bounds(stacks: list[list[int]]) -> tuple[int, int]:
    below = (sum(value for value in values if value < 0) for values in stacks)
    above = (sum(value for value in values if value > 0) for values in stacks)
    return min(below, default=0), max(above, default=0)


@dataclass(frozen=True)
class _Scale:
    low: int
    high: int

    def y(self, value: int) -> float:
        return round(TOP_PX + PLOT_PX * (self.high - value) / (self.high - self.low), 2)


def _bar(
    index: int, count: int, label: str, values: list[tuple[Series, int]], scale: _Scale, say: Callable[[int], str]
) -> Bar:
    place = 100 / count
    width = place * FILLED_PERMILLE / 1000
    left = index * place
    words = ", ".join(f"{one.label} {say(value)}" for one, value in values)
    return Bar(
        x=round(left + (place - width) / 2, 3),
        width=round(width, 3),
        middle=round(left + place / 2, 3),
        label=label if index % -(-count // MAX_LABELS) == 0 else "",
        words=f"{label}: {words}",
        parts=_parts(values, scale),
    )


def _parts(values: list[tuple[Series, int]], scale: _Scale) -> tuple[Part, ...]:
    up = down = 0
    found = []
    for one, value in values:
        if value > 0:
            top, bottom, up = scale.y(up + value), scale.y(up), up + value
        elif value < 0:
            top, bottom, down = scale.y(down), scale.y(down + value), down + value
        else:
            continue
        found.append(Part(one.key, top, round(bottom - top, 2)))
    return tuple(found)
