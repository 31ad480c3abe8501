"""The pages that show the mails of settings.MAIL_FOLDER. They read only. Everything from a mail is escaped."""

from pathlib import Path

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from marketplace.mailbox import mail_files

PAGE = 25
LOOPBACK = ("127.0.0.1", "::1")


@never_cache
@require_GET
def mail_list(request: HttpRequest) -> HttpResponse:
    """Show the newest mails."""
    folder = _folder(request)
    page = Paginator(mail_files.names(folder), PAGE).get_page(request.GET.get("page"))
    shown = [letter for name in page.object_list if (letter := mail_files.read(folder, name))]
    return render(request, "mailbox/mail_list.html", {"letters": shown, "page": page})


@never_cache
@require_GET
def mail_detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show one mail."""
    letter = mail_files.read(_folder(request), name)
    if letter is None:
        raise Http404
    return render(request, "mailbox/mail_detail.html", {"letter": letter})


@never_cache
@require_GET
def mail_source(request: HttpRequest, name: str) -> HttpResponse:
    """Send one mail as it would go to a mail server, as plain text."""
    data = mail_files.raw(_folder(request), name)
    if data is None:
        raise Http404
    return HttpResponse(data, content_type="text/plain; charset=utf-8")


def _folder(request: HttpRequest) -> Path:
    """Return the folder of mails. Raises Http404 where there is none, and for all who are not on this computer.

    Mails hold links that reset passwords, and nobody signs in to read them.
    """
    is_local = request.META.get("REMOTE_ADDR") in LOOPBACK and "HTTP_X_FORWARDED_FOR" not in request.META
    if not (settings.MAIL_FOLDER and is_local):
        raise Http404
    return Path(settings.MAIL_FOLDER)
