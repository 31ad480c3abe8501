"""The base class of back-office pages that show owners' data.

No such page opens before the operator has stated a reason, and every view of it is recorded for the owner to read.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.access import reason as access_reason
from accounts.access import trail as access
from accounts.models import AccessEvent, Owner, User, Vehicle
from core.admin import ReadOnlyAdmin

View = Callable[..., HttpResponseBase]
PAGES = {"changelist": "list", "history": "history", "change": "page", "delete": "deletion page"}


class OwnerDataAdmin(ReadOnlyAdmin):
    """Base of every admin class whose rows lead to an owner; `check_site` finds classes that do not use it.

    `owner_paths` are pairs of lookups from a row: to the id of an Owner, and to the id of a Vehicle or None. All views
    are guarded, those of subclasses too: the list with its search, the page of a row, its history.
    """

    owner_paths: Sequence[tuple[str, str | None]] = (("owner_id", None),)
    # Names of views that show no row and no choice of owners.
    open_views: Sequence[str] = ()
    # Additional views of a subclass: route, and name of the method.
    own_views: Sequence[tuple[str, str]] = ()

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = [*map(self._url_of, self.own_views), *super().get_urls()]
        for pattern in urls:
            name = (pattern.name or "").rsplit("_", 1)[-1]
            if name not in self.open_views:
                pattern.callback = self._guarded(pattern.callback, name)
        return urls

    def _url_of(self, view: tuple[str, str]) -> URLPattern:
        route, name = view
        callback = self.admin_site.admin_view(getattr(self, name))
        pattern: URLPattern = path(route, callback, name=f"{self.opts.app_label}_{self.opts.model_name}_{name}")
        return pattern

    def _guarded(self, view: View, name: str) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.admin_site.has_permission(request):
                return view(request, *args, **kwargs)  # Django redirects to the sign-in and does not run the view
            if not self.has_view_or_change_permission(request):
                # Checked here, since a subclass' own view may require no more than a staff account.
                raise PermissionDenied
            reason = access_reason.current_reason(request)
            if reason is None:
                where = request.get_full_path() if request.method == "GET" else request.path
                return HttpResponseRedirect(f"{reverse('access_reason')}?{urlencode({'next': where})}")
            response = view(request, *args, **kwargs)
            self._record(request, reason, response, name, kwargs.get("object_id") or (args[0] if args else None))
            return response

        return wrapper

    def _record(
        self, request: HttpRequest, reason: access_reason.Reason, response: HttpResponseBase, name: str, object_id: Any
    ) -> None:
        """Record the access before the response is sent: if recording fails, the operator sees nothing."""
        shown = self._rows_shown(response, object_id)
        if not shown:
            return
        assert isinstance(request.user, User)
        page = PAGES.get(name, "page")
        what = f"{self.opts.verbose_name_plural}: {page}"
        if object_id is None and request.GET.get("q"):
            what += " (search)"
        access.record(
            looked_at=self.owners_of(shown),
            actor=request.user,
            kind=AccessEvent.Kind.STAFF_READ,
            what=what,
            reason=str(reason),
        )

    def _rows_shown(self, response: HttpResponseBase, object_id: Any) -> list[Any]:
        """Return the keys of the rows that a response shows. Django's list has them in the context variable "cl"."""
        if response.status_code != 200:
            return []
        if isinstance(response, TemplateResponse) and "cl" in (response.context_data or {}):
            return [row.pk for row in response.context_data["cl"].result_list]  # type: ignore[index] # checked above
        return [object_id] if object_id is not None else self.rows_of_answer(response)

    def rows_of_answer(self, answer: HttpResponseBase) -> list[Any]:
        """Return the keys of the rows that a subclass' own view shows: those in the context variable `rows_shown`."""
        data = getattr(answer, "context_data", None) or {}
        return [row.pk for row in data.get("rows_shown", ())]

    def owners_of(self, keys: Iterable[Any]) -> set[tuple[int, int | None]]:
        """Return pairs (owner id, vehicle id or None) of every owner whom the rows with these keys are about."""
        pairs: set[tuple[int, int | None]] = set()
        rows = self.model._default_manager.filter(pk__in=list(keys))
        for owner_path, vehicle_path in self.owner_paths:
            with_owner = rows.filter(**{f"{owner_path}__isnull": False})
            if vehicle_path:
                pairs |= set(with_owner.values_list(owner_path, vehicle_path))
            else:
                pairs |= {(owner_id, None) for owner_id in with_owner.values_list(owner_path, flat=True)}
        return pairs


def owners_of_subjects(subjects: Iterable[str]) -> set[tuple[int, int | None]]:
    """Return pairs (owner id, vehicle id or None) for the public ids of owners and vehicles among `subjects`.

    Subjects come from the audit trail, where other texts may stand beside such ids: those are ignored.
    """
    ids = [subject for subject in subjects if len(subject) == 36 and subject.count("-") == 4]
    by_vehicle: set[tuple[int, int | None]] = set(
        Vehicle.objects.filter(public_id__in=ids).values_list("owner_id", "pk")
    )
    return by_vehicle | {(pk, None) for pk in Owner.objects.filter(public_id__in=ids).values_list("pk", flat=True)}


def leads_to_owner(model: type[Model]) -> bool:
    """Return whether a chain of foreign keys leads from the model to Owner, or a single one to User."""
    if model in (Owner, User) or User in _targets(model):
        return True
    seen, waiting = set[type[Model]](), {model}
    while waiting:
        reached = waiting.pop()
        if reached is Owner:
            return True
        seen.add(reached)
        waiting |= _targets(reached) - seen
    return False


def _targets(model: type[Model]) -> set[Any]:
    return {field.related_model for field in model._meta.concrete_fields if field.remote_field}


def check_site(site: admin.AdminSite) -> None:
    """Raise ImproperlyConfigured for an admin class that could show owners' data and is not an OwnerDataAdmin."""
    for model, options in site._registry.items():
        if leads_to_owner(model) and not isinstance(options, OwnerDataAdmin):
            raise ImproperlyConfigured(f"{model._meta.label} leads to owners: its admin must be an OwnerDataAdmin.")
