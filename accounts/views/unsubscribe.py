"""The page behind the unsubscribe link in news mails. It needs no sign-in; mail programs may POST to it (RFC 8058)."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from accounts.consents import unsubscribes
from core.errors import NotFound


@never_cache
@csrf_exempt  # a mail program sends no cookie; the signed link authorizes the request
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Unsubscribe on POST, which may be repeated. GET only shows a button.

    Mail scanners open links, so a GET must not change anything.
    """
    try:
        owner = unsubscribes.owner_of(token)
    except NotFound as error:
        raise Http404 from error
    if request.method != "POST":
        return render(request, "accounts/unsubscribe.html", {"token": token})
    unsubscribes.unsubscribe(owner)
    return render(request, "accounts/unsubscribe_done.html")
