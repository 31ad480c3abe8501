"""The geometry of stacked bar charts, which the server draws as SVG with `components/bar_chart.html`.

Horizontal positions are percent of the plot, so that a chart fills its column and its text keeps its size. Vertical
positions are pixels from the top. Values are integers; the caller formats them, since only the caller knows the unit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

PLOT_PX = 200  # height from the highest tick to the lowest
TOP_PX = 10  # room for half a line of text above the highest tick
FOOT_PX = 26  # height of the labels under the bars
TICKS = 4
MAX_LABELS = 8  # as many as fit on a phone
FILLED_PERMILLE = 720  # share of a slot that its bar fills; the rest is the gap
STEPS = (1, 2, 5, 10)  # a step between ticks is one of these times a power of ten


@dataclass(frozen=True)
class Series:
    """One value for every bar.

    `key` becomes part of a CSS class. The first series of a chart is drawn at the bottom.
    """

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
    words: str  # label and values in full, shown as a tooltip
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
    """Return a chart with one stacked bar for each label. `say` formats a value as text.

    Positive values stack upwards from zero, negative values downwards. Missing values count as 0.
    """
    stacks = [list(values) for values in zip_longest(*(item.values for item in series), fillvalue=0)]
    stacks += [[0] * len(series) for _ in range(len(labels) - len(stacks))]
    low, high = _bounds(stacks)
    marks = ticks(low, high)
    scale = _Scale(marks[0], marks[-1])
    return BarChart(
        title=title,
        description=description,
        legend=tuple((item.key, item.label) for item in series),
        ticks=tuple(Tick(scale.y(value), say(value), value == 0) for value in marks),
        bars=tuple(
            _bar(index, len(labels), label, list(zip(series, values, strict=True)), scale, say)
            for index, (label, values) in enumerate(zip(labels, stacks, strict=True))
        ),
    )


def ticks(low: int, high: int, count: int = TICKS) -> list[int]:
    """Return the axis' values: evenly spaced round numbers that enclose `low` and `high` and include zero.

    The step is 1, 2 or 5 times a power of ten, chosen so that there are about `count` steps.
    """
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
    slot = 100 / count
    width = slot * FILLED_PERMILLE / 1000
    left = index * slot
    words = ", ".join(f"{item.label} {say(value)}" for item, value in values)
    return Bar(
        x=round(left + (slot - width) / 2, 3),
        width=round(width, 3),
        middle=round(left + slot / 2, 3),
        label=label if index % -(-count // MAX_LABELS) == 0 else "",
        words=f"{label}: {words}",
        parts=_parts(values, scale),
    )


def _parts(values: list[tuple[Series, int]], scale: _Scale) -> tuple[Part, ...]:
    up = down = 0  # sums of the positive and of the negative values so far
    parts = []
    for item, value in values:
        if value > 0:
            top, bottom, up = scale.y(up + value), scale.y(up), up + value
        elif value < 0:
            top, bottom, down = scale.y(down), scale.y(down + value), down + value
        else:
            continue
        parts.append(Part(item.key, top, round(bottom - top, 2)))
    return tuple(parts)
