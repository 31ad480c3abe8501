"""The form in which an operator states why, before the back office shows owners' data."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.access import reason as access_reason
from accounts.access.guards import signed_in


@never_cache
@login_required
def access_reason_form(request: HttpRequest) -> HttpResponse:
    """Show the form; a POST stores the reason in the session and redirects to the page that the operator asked for."""
    _staff_only(request)
    form = access_reason.ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        access_reason.store_reason(request, **form.cleaned_data)
        return redirect(_next(request))
    context = {**admin.site.each_context(request), "title": "Why are you reading owners' data?", "form": form}
    context |= {"next": _next(request)}
    return render(request, "admin/access_reason.html", context, status=400 if form.is_bound else 200)


@require_POST
@login_required
def access_reason_end(request: HttpRequest) -> HttpResponse:
    """Forget the stated reason, so that the next page about owners asks again."""
    _staff_only(request)
    access_reason.remove_reason(request)
    return redirect("admin:index")


def _staff_only(request: HttpRequest) -> None:
    if not (signed_in(request).is_staff and request.user.is_active):
        raise Http404


def _next(request: HttpRequest) -> str:
    """Return the requested address if it lies in the back office, else the back office's home page."""
    wanted, home = request.POST.get("next") or request.GET.get("next", ""), reverse("admin:index")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith(home)
    return wanted if is_ours else home
