"""Pages with measured figures name the commit of the measurement, and say so when their code has changed since."""

import pytest

from benchmarks.pages import PAGES, STALE, WITHOUT_FIGURES, PageError, has_changed, refreshed
from marketplace.local.embedded import REPOSITORY


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_whether_its_code_has_changed(page):
    """Fails with an explanation where the history is missing, as in a shallow clone."""
    assert (REPOSITORY / page).read_text() == refreshed(page), "run `python -m benchmarks.pages`"


def test_every_page_is_known():
    pages = {f"docs/{path.name}" for path in REPOSITORY.glob("docs/*.md")}
    assert pages == {page for page in (*PAGES, *WITHOUT_FIGURES) if page.startswith("docs/")}


def test_a_commit_that_is_not_here_is_an_error_that_says_so():
    with pytest.raises(PageError, match="unshallow"):
        has_changed("README.md", "0" * 40, ["README.md"])


def test_code_that_was_never_committed_is_an_error():
    with pytest.raises(PageError, match="never committed"):
        has_changed("README.md", "abcdef0-dirty", ["README.md"])


def test_only_code_that_is_measured_counts():
    first = "c9f5934"
    assert has_changed("README.md", first, ["benchmarks"])
    assert not has_changed("README.md", first, ["LICENSE"])
    assert not STALE.startswith("Measured")
