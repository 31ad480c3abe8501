"""The home page, the health check, the redirect after signing in, and the answer to a crash."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET
from django.views.defaults import server_error as page_of_500
from redis.exceptions import RedisError

from accounts.access.guards import signed_in
from accounts.context import actor
from core.api import error_body

HOME_OF = {"owner": "vehicle_list", "organization": "job_list", "operator": "admin:index"}


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html")


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers.

    An unreachable Redis is reported as "away" and is no failure: work continues without it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    try:
        cache.set("healthz", 1, 5)
        redis = "ok"
    except (OSError, RedisError):
        redis = "away"
    return JsonResponse({"database": "ok", "redis": redis, "nats": "on" if settings.NATS_URL else "off"})


@require_GET
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """Redirect a signed-in person to the first page of their role."""
    signed_in(request)
    return redirect(HOME_OF.get(str(actor(request)["actor"]), "home"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500, as JSON under /api/ and as a page elsewhere, without details of the failure."""
    if request.path.startswith("/api/"):
        return JsonResponse(error_body("internal_error", "Something failed on our side. Try again."), status=500)
    return page_of_500(request)
