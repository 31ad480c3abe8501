"""Mails in a folder, and the pages that show them: what they say, that they escape it, and that production has neither."""

import re
import runpy

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection
from django.urls import NoReverseMatch, reverse

from marketplace import urls as site
from marketplace.local.embedded import REPOSITORY
from marketplace.mailbox import mail_files
from tests.marketplace.views.test_security import SECRETS

# Imported above, before a test names a folder: the site's URLs are made once, from the settings of that moment.
assert site.urlpatterns
BACKEND = "marketplace.mailbox.backend.FolderBackend"
pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.marketplace.mailbox.urls")]


@pytest.fixture
def folder(settings, tmp_path):
    settings.MAIL_FOLDER = str(tmp_path / "mails")
    return tmp_path / "mails"


def send(
    subject: str = "Statement 1", text: str = "You earned $3.", html: str = "", to: str = "carla@example.com"
) -> str:
    message = EmailMultiAlternatives(subject, text, to=[to], connection=get_connection(BACKEND))
    if html:
        message.attach_alternative(html, "text/html")
    assert message.send() == 1
    return subject


def test_a_mail_becomes_a_private_file_that_is_listed_and_shown(folder, client):
    send("Dürfen wir?", "Grüße\nhttp://127.0.0.1:8000/consents/")
    (name,) = mail_files.names(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    page = client.get("/mails/").content.decode()
    assert "Dürfen wir?" in page
    assert f"/mails/{name}" in page
    shown = client.get(f"/mails/{name}").content.decode()
    assert "carla@example.com" in shown
    assert "Grüße" in shown
    assert 'href="http://127.0.0.1:8000/consents/"' in shown
    source = client.get(f"/mails/{name}/source")
    assert source["Content-Type"].startswith("text/plain")
    assert b"To: carla@example.com" in source.content


def test_what_a_mail_contains_is_escaped_and_the_policy_stays_strict(folder, client):
    send("<b>subject</b>", "<script>text()</script>", "<script>html()</script><img src=x onerror=y()>")
    (name,) = mail_files.names(folder)
    for path in ("/mails/", f"/mails/{name}"):
        answer = client.get(path)
        page = answer.content.decode()
        assert "&lt;b&gt;subject" in page
        assert "<b>subject" not in page
        assert not re.search(r"<script>|<img[^>]*onerror", page)
        assert "unsafe" not in answer["Content-Security-Policy"]
    assert "&lt;script&gt;text()" in client.get(f"/mails/{name}").content.decode()
    assert "&lt;script&gt;html()" in client.get(f"/mails/{name}").content.decode()


def test_the_newest_mails_come_first_and_old_ones_go(folder, client, monkeypatch):
    monkeypatch.setattr(mail_files, "KEPT", 3)
    for number in range(5):
        send(f"Mail {number}")
    page = client.get("/mails/").content.decode()
    assert re.findall(r"Mail \d", page) == ["Mail 4", "Mail 3", "Mail 2"]
    assert len(list(folder.iterdir())) == 3


def test_names_that_are_none_are_not_found(folder, client):
    send()
    for name in ("nothing", "20260101T000000000000-00000000", "..%2Fsecrets"):
        assert client.get(f"/mails/{name}").status_code == 404
        assert client.get(f"/mails/{name}/source").status_code == 404


def test_an_empty_folder_says_so(folder, client):
    assert "No mail yet" in client.get("/mails/").content.decode()


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_pages_only_read(folder, client, method):
    assert getattr(client, method)("/mails/").status_code == 405


def test_without_a_folder_the_pages_are_not_found(client):
    assert client.get("/mails/").status_code == 404


@pytest.mark.urls("marketplace.urls")
def test_without_a_folder_there_is_no_url(client):
    with pytest.raises(NoReverseMatch):
        reverse("mail_list")
    assert client.get("/mails/").status_code == 404


def settings_with(monkeypatch, **variables: str) -> dict[str, object]:
    monkeypatch.delenv("EMAIL_URL", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(REPOSITORY / "marketplace" / "settings.py"))


def test_production_has_no_folder_even_if_one_is_named(monkeypatch):
    made = settings_with(
        monkeypatch,
        **{**SECRETS, "DRIVEWAY_ENV": "production", "DRIVEWAY_MAILS": "/tmp/mails", "STRIPE_SECRET_KEY": ""},
    )
    assert made["MAIL_FOLDER"] == ""
    assert made.get("EMAIL_BACKEND") != BACKEND


def test_a_mail_server_that_is_named_wins_over_the_folder(monkeypatch):
    assert settings_with(monkeypatch, DRIVEWAY_MAILS="/tmp/mails")["EMAIL_BACKEND"] == BACKEND
    made = settings_with(monkeypatch, DRIVEWAY_MAILS="/tmp/mails", EMAIL_URL="smtp://localhost:25")
    assert made["MAIL_FOLDER"] == ""
    assert made["EMAIL_BACKEND"] != BACKEND


def test_the_notice_is_on_every_kind_of_page_and_escaped(settings, client, client_of, cast):
    settings.SITE_NOTICE = "Made up <b>today</b>"
    pages = [
        client.get("/"),
        client.get("/accounts/login/"),
        client.get("/nowhere"),
        client_of(cast.opal).get("/operations/"),
    ]
    assert all("Made up &lt;b&gt;today" in page.content.decode() for page in pages)
    settings.SITE_NOTICE = ""
    assert "site-notice" not in client.get("/").content.decode()


@pytest.mark.parametrize("headers", [{"REMOTE_ADDR": "192.0.2.7"}, {"HTTP_X_FORWARDED_FOR": "192.0.2.7"}])
def test_only_this_computer_reads_them(folder, client, headers):
    """They hold links that reset passwords."""
    send()
    (name,) = mail_files.names(folder)
    for path in (reverse("mail_list"), reverse("mail_detail", args=[name]), reverse("mail_source", args=[name])):
        assert client.get(path).status_code == 200
        assert client.get(path, **headers).status_code == 404
