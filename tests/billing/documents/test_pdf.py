"""The layout of PDF documents: the same bytes for the same facts, names in any script, tables over many pages."""

import io
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from pypdf import PdfReader

from billing.documents import fonts
from billing.documents.pdf import Column, Document

MADE_AT = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = "Łukasz Žižka · Ξένια · Юлия · Nguyễn Ấn · 山田 太郎 · عمر · 👩‍🚀"


def rendered(rows=3):
    document = Document(title="Invoice", number="INV-1", made_at=MADE_AT, note="Nothing is due.")
    document.addresses(("From", "Driveway"), ("To", f"{NAMES}\nMain Street 1"))
    document.facts([("Period", "October 2026")])
    columns = [Column("What", 3), Column("Amount", 1, right=True)]
    document.grid(columns, [(f"Job {index}: " + "a long name " * 8, f"${index}.00") for index in range(rows)])
    document.totals([("Work", "$1.00"), ("Total", "$1.00")])
    return document.render()


def text_of(pdf):
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


@pytest.mark.long
def test_the_same_facts_make_the_same_bytes_in_another_process_too():
    program = (
        "import django, sys; django.setup(); sys.path.insert(0, 'tests/billing/documents');"
        "import hashlib, test_pdf; print(hashlib.sha256(test_pdf.rendered()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "DJANGO_SETTINGS_MODULE": "marketplace.settings"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert rendered() == rendered()


def test_metadata_says_what_it_is_and_nothing_about_the_machine():
    reader = PdfReader(io.BytesIO(rendered()))
    assert reader.metadata.title == "Invoice INV-1"
    assert reader.metadata.creation_date == MADE_AT
    assert reader.metadata.producer == reader.metadata.creator == reader.metadata.author == "Driveway"
    assert reader.trailer["/Root"]["/Lang"] == "en"


def test_every_page_repeats_the_headings_and_counts_itself():
    pages = text_of(rendered(rows=60))
    assert len(pages) > 2
    for index, page in enumerate(pages, start=1):
        assert f"Page {index} of {len(pages)}" in page
        assert "INV-1" in page
        assert "Nothing is due." in page
    assert all("What" in page and "Amount" in page for page in pages[:-1])
    assert "Job 59" in "".join(pages)


def test_names_of_any_script_are_written_or_show_a_gap():
    page = text_of(rendered())[0]
    for name in ("Łukasz Žižka", "Ξένια", "Юлия", "Nguyễn Ấn"):
        assert name in page
    assert fonts.UNKNOWN in page  # for 山田 太郎, which Roboto alone cannot write


def test_a_deployment_adds_fonts_for_other_scripts(settings):
    dejavu = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
    if not os.path.exists(dejavu):
        pytest.skip("no second font on this machine")
    settings.PDF_FONTS = [dejavu]
    assert fonts.writable_text("عمر") == "عمر"
    assert "Ֆ" in "".join(text_of(_armenian()))


def _armenian():
    document = Document(title="Invoice", number="", made_at=MADE_AT)
    document.paragraph("Ֆ")
    return document.render()


@pytest.mark.parametrize(
    ("text", "written"), [("ｆｕｌｌ", "full"), ("a\u200eb\x00", "ab"), ("□", fonts.UNKNOWN), ("e\u0301", "é")]
)
def test_characters_that_roboto_lacks(text, written):
    assert fonts.writable_text(text) == written
