"""Tables on papers. Our own drawing: FPDF's measures every cell many times, and an invoice may have thousands of rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from billing.documents import fonts

if TYPE_CHECKING:
    from billing.documents.pdf import Document

PAD_MM, LINE_MM, TEXT_PT = 1.4, 4.4, 8.5


@dataclass(frozen=True)
class Column:
    heading: str
    share: float  # of the width, relative to the other columns
    right: bool = False  # figures


def draw(paper: "Document", columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    widths = _widths(paper, columns)
    headings = [column.heading for column in columns]
    _set_type(paper, bold=True)
    _row(paper, columns, widths, [_lines(paper, text, width) for text, width in zip(headings, widths, strict=True)])
    for row in rows:
        _set_type(paper)
        cells = [_lines(paper, text, width) for text, width in zip(row, widths, strict=True)]
        if paper.will_page_break(_height(cells)):
            paper.add_page()
            _set_type(paper, bold=True)
            _row(paper, columns, widths, [_lines(paper, t, w) for t, w in zip(headings, widths, strict=True)])
            _set_type(paper)
        _row(paper, columns, widths, cells)


def _widths(paper: "Document", columns: Sequence[Column]) -> list[float]:
    whole = sum(column.share for column in columns)
    return [paper.epw * column.share / whole for column in columns]


def _set_type(paper: "Document", *, bold: bool = False) -> None:
    paper.ink((27, 38, 36), TEXT_PT, bold=bold)


def _lines(paper: "Document", text: str, width: float) -> list[str]:
    written = fonts.writable(text)
    if "\n" not in written and paper.get_string_width(written) <= width - 2 * PAD_MM:
        return [written]
    room = width - 2 * PAD_MM + 2 * paper.c_margin  # multi_cell takes its own margin off
    lines = paper.multi_cell(room, LINE_MM, written, align="L", dry_run=True, output="LINES")
    assert isinstance(lines, list)
    return lines


def _height(cells: list[list[str]]) -> float:
    return max(len(lines) for lines in cells) * LINE_MM + 2 * PAD_MM


def _row(paper: "Document", columns: Sequence[Column], widths: list[float], cells: list[list[str]]) -> None:
    left, top, height = paper.l_margin, paper.get_y(), _height(cells)
    for column, width, lines in zip(columns, widths, cells, strict=True):
        for index, line in enumerate(lines):
            inset = width - PAD_MM - paper.get_string_width(line) if column.right else PAD_MM
            # `text` writes on the baseline, which lies about three quarters down a line.
            paper.text(left + inset, top + PAD_MM + (index + 0.75) * LINE_MM, line)
        left += width
    paper.set_xy(paper.l_margin, top + height)
    paper.rule()
