"""Bar charts: round values on the axis, stacks without gaps, and an accessible SVG."""

import itertools

from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import strategies as st

from core.charts import PLOT_PX, TOP_PX, BarChart, Series, bar_chart, ticks


def draw(*values: list[int], labels: list[str] | None = None) -> BarChart:
    labels = labels or [str(index) for index in range(len(values[0]))]
    series = [Series("abc"[index], f"s{index}", row) for index, row in enumerate(values)]
    return bar_chart(title="What", description="Words", labels=labels, series=series, say=lambda value: f"{value} u")


@given(low=st.integers(-(10**15), 0), high=st.integers(0, 10**15))
def test_ticks_are_round_and_hold_every_value(low: int, high: int) -> None:
    marks = ticks(low, high)
    step = marks[1] - marks[0]
    assert marks[0] <= low
    assert high <= marks[-1]
    assert 0 in marks
    assert str(step).rstrip("0") in ("1", "2", "5")
    assert {b - a for a, b in itertools.pairwise(marks)} == {step}
    assert 2 <= len(marks) <= 7


def test_parts_of_a_stack_touch_and_reach_their_sum() -> None:
    chart = draw([30, 0], [10, 0], [60, 0])
    net, energy, wear = chart.bars[0].parts
    assert net.y + net.height == TOP_PX + PLOT_PX
    assert energy.y + energy.height == net.y
    assert wear.y == TOP_PX
    assert wear.y + wear.height == energy.y
    assert chart.bars[1].parts == ()
    assert chart.bars[0].words == "0: s0 30 u, s1 10 u, s2 60 u"


def test_what_is_below_zero_hangs_from_the_line() -> None:
    chart = draw([-50], [100])
    zero = next(tick for tick in chart.ticks if tick.is_zero)
    down, up = chart.bars[0].parts
    assert down.y == zero.y == up.y + up.height


def test_a_phone_has_room_for_the_labels() -> None:
    chart = draw([1] * 31)
    assert [bar.label for bar in chart.bars if bar.label] == ["0", "4", "8", "12", "16", "20", "24", "28"]
    assert chart.bars[-1].x + chart.bars[-1].width < 100


def test_drawing() -> None:
    html = render_to_string("components/bar_chart.html", {"chart": draw([1, 2], labels=["<b>", "y"]), "id": "c"})
    assert 'role="img" aria-labelledby="c-title c-desc"' in html
    assert "&lt;b&gt;" in html
    assert "style=" not in html
    empty = render_to_string("components/bar_chart.html", {"chart": draw([0, 0]), "id": "c", "empty": "Nothing"})
    assert "Nothing" in empty
    assert "<svg" not in empty
    assert draw([], labels=[]).is_empty
