"""The redirect back to the page on which a form was submitted."""

from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme

# These addresses accept only POST: a redirect to one of them would fail.
POST_ONLY = ("policy_pause", "consent_decide", "consent_decide_personal", "consent_withdraw_all", "region_choose")


def return_address(request: HttpRequest, default: str) -> str:
    """Return the address in the form's field `next`, else the Referer, else `default`.

    Addresses that are not pages of this site are ignored: an attacker could otherwise redirect the owner elsewhere.
    """
    for address in (request.POST.get("next", ""), _referring_page(request)):
        if _is_ours(request, address):
            return address
    return default


def _referring_page(request: HttpRequest) -> str:
    origin = f"{request.scheme}://{request.get_host()}"
    referer = request.headers.get("Referer", "")
    return referer.removeprefix(origin) if referer.startswith(f"{origin}/") else ""


def _is_ours(request: HttpRequest, address: str) -> bool:
    if not address.startswith("/") or not url_has_allowed_host_and_scheme(address, allowed_hosts={request.get_host()}):
        return False
    try:
        return resolve(address.split("#")[0].split("?")[0]).url_name not in POST_ONLY
    except Resolver404:
        return False
