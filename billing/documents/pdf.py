"""The layout of documents that people keep: invoices, receipts, statements. The same facts always give the same bytes.

document = Document(title="Invoice", number="INV-7", made_at=invoice.created_at)
document.addresses(("From", seller), ("To", "Example AI\n1 Main Street"))
document.facts([("Period", "Oct 2026")])
document.grid([Column("What", 3), Column("Amount", 1, right=True)], rows)
document.totals([("Total", "$1.00")])
return document.render()
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.prefs import ViewerPreferences

from billing.documents import fonts

INK, SOFT, LINE, BRAND = (27, 38, 36), (74, 88, 85), (204, 212, 208), (13, 89, 62)
MARGIN_MM, FOOT_MM, LINE_MM = 18.0, 20.0, 5.0
TEXT_PT, SMALL_PT, TITLE_PT = 9.5, 8.0, 18.0
CELL_PAD_MM, CELL_LINE_MM, CELL_PT = 1.4, 4.4, 8.5
SITE = "Driveway"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    heading: str
    share: float  # of the width, relative to the other columns
    right: bool = False  # aligned to the right, for figures


class Document(FPDF):
    """An A4 document with our name, its title and number at the head of every page, and "Page n of m" at the foot.

    It contains only what the caller passes: no current time, random id, file name or machine name, so that the bytes
    are reproducible.
    """

    def __init__(self, *, title: str, number: str, made_at: datetime, note: str = "") -> None:
        super().__init__(orientation="portrait", unit="mm", format="A4")
        self.paper_title, self.paper_number, self.note = title, fonts.writable_text(number), fonts.writable_text(note)
        self.add_font("text", "", fonts.roboto("Regular"))
        self.add_font("text", "B", fonts.roboto("Bold"))
        for index, path in enumerate(fonts.extra_fonts()):
            self.add_font(f"extra{index}", "", path)
        self.set_fallback_fonts([f"extra{index}" for index in range(len(fonts.extra_fonts()))], exact_match=False)
        self.set_title(f"{title} {self.paper_number}".strip())
        self.set_lang("en")
        self.set_author(SITE)
        self.set_creator(SITE)
        self.set_producer(SITE)
        self.set_creation_date(made_at)
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)
        self.set_margins(MARGIN_MM, MARGIN_MM, MARGIN_MM)
        self.set_auto_page_break(True, FOOT_MM)
        self.add_page()

    def header(self) -> None:
        """Print the head of a page. FPDF calls it for every page."""
        self.ink(BRAND, TITLE_PT if self.page_no() == 1 else TEXT_PT, bold=True)
        self.cell(self.epw / 3, 9, SITE)
        self.ink(INK, TITLE_PT if self.page_no() == 1 else TEXT_PT, bold=True)
        self.cell(0, 9, self.paper_title, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ink(SOFT, TEXT_PT)
        self.cell(0, LINE_MM, self.paper_number, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.rule()
        self.ln(5)

    def footer(self) -> None:
        """Print the foot of a page. FPDF calls it for every page."""
        self.set_y(-FOOT_MM + 4)
        self.rule()
        self.ln(1.5)
        self.ink(SOFT, SMALL_PT)
        self.cell(self.epw * 0.8, LINE_MM, self.note)
        # FPDF replaces "{nb}" by the number of pages only at the end, so aligning to the right would measure "{nb}".
        # The text is placed where a number of two digits fits instead.
        self.set_x(self.w - self.r_margin - self.get_string_width(f"Page {self.page_no()} of 00") - 2 * self.c_margin)
        self.cell(0, LINE_MM, f"Page {self.page_no()} of {{nb}}")

    def addresses(self, *blocks: tuple[str, str]) -> None:
        """Print blocks side by side, each a heading and a text of several lines."""
        top, width = self.get_y(), self.epw / max(len(blocks), 1)
        bottom = top
        for index, (heading, text) in enumerate(blocks):
            left = self.l_margin + index * width
            self.set_xy(left, top)
            self.ink(SOFT, SMALL_PT)
            self.cell(width - 6, LINE_MM, heading, new_x=XPos.LEFT, new_y=YPos.NEXT)
            self.ink(INK, TEXT_PT)
            self.multi_cell(width - 6, LINE_MM, fonts.writable_text(text), align="L")
            bottom = max(bottom, self.get_y())
        self.set_xy(self.l_margin, bottom)
        self.ln(5)

    def facts(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names with their values, one pair a line."""
        for name, value in pairs:
            self.ink(SOFT, TEXT_PT)
            self.cell(45, LINE_MM, fonts.writable_text(name))
            self.ink(INK, TEXT_PT)
            self.multi_cell(0, LINE_MM, fonts.writable_text(value), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(5)

    def heading(self, text: str) -> None:
        """Print the heading of a section."""
        if self.will_page_break(4 * LINE_MM):  # a heading never stands alone at the foot of a page
            self.add_page()
        self.ink(INK, TEXT_PT + 2, bold=True)
        self.cell(0, LINE_MM + 2, fonts.writable_text(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def paragraph(self, text: str, *, small: bool = False) -> None:
        """Print a paragraph, in small grey type if `small`."""
        self.ink(SOFT if small else INK, SMALL_PT if small else TEXT_PT)
        self.multi_cell(0, LINE_MM, fonts.writable_text(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(2)

    def grid(self, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
        """Print a table. Every page repeats the headings; a row never splits over two pages."""
        draw_table(self, columns, rows)
        self.ln(3)

    def totals(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print (name, amount) pairs on the right, all on one page; the last one is the total, in bold."""
        if self.will_page_break(len(pairs) * (LINE_MM + 1) + 4):
            self.add_page()
        for index, (name, value) in enumerate(pairs):
            is_last = index == len(pairs) - 1
            if is_last and index:
                self.rule(self.l_margin + self.epw / 2)
                self.ln(1)
            self.set_x(self.l_margin + self.epw / 2)
            self.ink(INK if is_last else SOFT, TEXT_PT, bold=is_last)
            self.cell(self.epw * 0.3, LINE_MM + 1, fonts.writable_text(name))
            self.ink(INK, TEXT_PT, bold=is_last)
            self.cell(0, LINE_MM + 1, fonts.writable_text(value), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(4)

    def render(self) -> bytes:
        """Return the PDF."""
        return bytes(self.output())

    def ink(self, color: tuple[int, int, int], size_pt: float, *, bold: bool = False) -> None:
        """Set the colour and the size of the text that follows."""
        self.set_text_color(*color)
        self.set_font("text", "B" if bold else "", size_pt)

    def rule(self, left: float | None = None) -> None:
        """Draw a thin line from `left` (by default the left margin) to the right margin."""
        self.set_draw_color(*LINE)
        self.set_line_width(0.2)
        self.line(self.l_margin if left is None else left, self.get_y(), self.w - self.r_margin, self.get_y())


def draw_table(document: Document, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table. Every page repeats the headings; a row never splits over two pages."""
    widths = _widths(document, columns)
    headings = [column.heading for column in columns]
    _set_type(document, bold=True)
    _row(
        document, columns, widths, [_lines(document, text, width) for text, width in zip(headings, widths, strict=True)]
    )
    for row in rows:
        _set_type(document)
        cells = [_lines(document, text, width) for text, width in zip(row, widths, strict=True)]
        if document.will_page_break(_height(cells)):
            document.add_page()
            _set_type(document, bold=True)
            _row(document, columns, widths, [_lines(document, t, w) for t, w in zip(headings, widths, strict=True)])
            _set_type(document)
        _row(document, columns, widths, cells)


def _widths(document: Document, columns: Sequence[Column]) -> list[float]:
    whole = sum(column.share for column in columns)
    return [document.epw * column.share / whole for column in columns]


def _set_type(document: Document, *, bold: bool = False) -> None:
    document.ink(INK, CELL_PT, bold=bold)


def _lines(document: Document, text: str, width: float) -> list[str]:
    written = fonts.writable_text(text)
    if "\n" not in written and document.get_string_width(written) <= width - 2 * CELL_PAD_MM:
        return [written]
    room = width - 2 * CELL_PAD_MM + 2 * document.c_margin  # multi_cell subtracts its own margin from the width
    lines = document.multi_cell(room, CELL_LINE_MM, written, align="L", dry_run=True, output="LINES")
    assert isinstance(lines, list)
    return lines


def _height(cells: list[list[str]]) -> float:
    return max(len(lines) for lines in cells) * CELL_LINE_MM + 2 * CELL_PAD_MM


def _row(document: Document, columns: Sequence[Column], widths: list[float], cells: list[list[str]]) -> None:
    left, top, height = document.l_margin, document.get_y(), _height(cells)
    for column, width, lines in zip(columns, widths, cells, strict=True):
        for index, line in enumerate(lines):
            inset = width - CELL_PAD_MM - document.get_string_width(line) if column.right else CELL_PAD_MM
            # `text` writes on the baseline, which lies about three quarters down a line.
            document.text(left + inset, top + CELL_PAD_MM + (index + 0.75) * CELL_LINE_MM, line)
        left += width
    document.set_xy(document.l_margin, top + height)
    document.rule()
