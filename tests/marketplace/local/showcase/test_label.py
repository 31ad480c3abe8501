"""The label of a site with made-up figures: from which day on they are real, and that other words win."""

from datetime import UTC, date, datetime

from marketplace.local.showcase import label


def test_the_first_day_is_noted_once(tmp_path):
    assert label.first_day(tmp_path) == datetime.now(UTC).date()
    (tmp_path / "run" / label.FILE).write_text("2026-01-31")
    assert label.first_day(tmp_path) == date(2026, 1, 31)
    assert "before 31 January 2026" in label.settings(tmp_path)["SITE_NOTICE"]


def test_a_home_without_made_up_figures_has_no_label(tmp_path, monkeypatch):
    monkeypatch.delenv("SITE_NOTICE", raising=False)
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    label.label_site(tmp_path)
    assert environment == {}
    label.first_day(tmp_path)
    environment["SELLER_NAME"] = "Mine"
    label.label_site(tmp_path)
    assert environment["SITE_NOTICE"].startswith("Demonstration")
    assert environment["SELLER_NAME"] == "Mine"
