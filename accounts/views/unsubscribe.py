"""The end of news by the link in each of them: without signing in, by hand or by the mail program (RFC 8058)."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.consents import unsubscribes
from core.errors import NotFound


@never_cache
@csrf_exempt  # a mail program brings no cookie; the signed link is all that this needs
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows one button, since scanners of mail open links; POST does it, and once more does no harm."""
    try:
        owner = unsubscribes.owner_of(token)
    except NotFound as error:
        raise Http404 from error
    if request.method != "POST":
        return render(request, "accounts/unsubscribe.html", {"token": token})
    unsubscribes.unsubscribe(owner)
    return render(request, "accounts/unsubscribe_done.html")
