"""Back-office pages that show owners' data: none opens without a stated reason, and each look is written for the owner to read."""

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
    """Base of every admin class whose rows lead to an owner; `check_site` refuses to start with one that is not.

    `owner_paths` are the lookups from a row to the ids of an Owner and, if there is one, a Vehicle. All views are guarded,
    those of subclasses too: the list with its search, a row's page, its history.
    """

    owner_paths: Sequence[tuple[str, str | None]] = (("owner_id", None),)
    # Names of views that show no row and no choice of owners.
    open_views: Sequence[str] = ()
    # Views of one's own: route, and name of the method.
    own_views: Sequence[tuple[str, str]] = ()

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = [*map(self._own, self.own_views), *super().get_urls()]
        for pattern in urls:
            name = (pattern.name or "").rsplit("_", 1)[-1]
            if name not in self.open_views:
                pattern.callback = self._guarded(pattern.callback, name)
        return urls

    def _own(self, view: tuple[str, str]) -> URLPattern:
        route, name = view
        callback = self.admin_site.admin_view(getattr(self, name))
        pattern: URLPattern = path(route, callback, name=f"{self.opts.app_label}_{self.opts.model_name}_{name}")
        return pattern

    def _guarded(self, view: View, name: str) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.admin_site.has_permission(request):
                return view(request, *args, **kwargs)  # Django's own wrapper: to the sign-in, the view is not run
            if not self.has_view_or_change_permission(request):
                raise PermissionDenied  # here, since a view of one's own may ask for nothing but staff
            reason = access_reason.present(request)
            if reason is None:
                where = request.get_full_path() if request.method == "GET" else request.path
                return HttpResponseRedirect(f"{reverse('access_reason')}?{urlencode({'next': where})}")
            answer = view(request, *args, **kwargs)
            self._record(request, reason, answer, name, kwargs.get("object_id") or (args[0] if args else None))
            return answer

        return wrapper

    def _record(
        self, request: HttpRequest, reason: access_reason.Reason, answer: HttpResponseBase, name: str, object_id: Any
    ) -> None:
        """Before the page leaves the house: if this fails, nothing is shown."""
        shown = self._rows_shown(answer, object_id)
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

    def _rows_shown(self, answer: HttpResponseBase, object_id: Any) -> list[Any]:
        if answer.status_code != 200:
            return []
        if isinstance(answer, TemplateResponse) and "cl" in (answer.context_data or {}):
            return [row.pk for row in answer.context_data["cl"].result_list]  # type: ignore[index] # looked at above
        return [object_id] if object_id is not None else self.rows_of_answer(answer)

    def rows_of_answer(self, answer: HttpResponseBase) -> list[Any]:
        """Keys of the rows that a view of one's own shows."""
        data = getattr(answer, "context_data", None) or {}
        return [row.pk for row in data.get("rows_shown", ())]

    def owners_of(self, keys: Iterable[Any]) -> set[tuple[int, int | None]]:
        """(owner id, vehicle id or None) of every owner whom these rows are about."""
        pairs: set[tuple[int, int | None]] = set()
        rows = self.model._default_manager.filter(pk__in=list(keys))
        for owner_path, vehicle_path in self.owner_paths:
            found = rows.filter(**{f"{owner_path}__isnull": False})
            if vehicle_path:
                pairs |= set(found.values_list(owner_path, vehicle_path))
            else:
                pairs |= {(owner_id, None) for owner_id in found.values_list(owner_path, flat=True)}
        return pairs


def owners_of_subjects(subjects: Iterable[str]) -> set[tuple[int, int | None]]:
    """Owners whom a trail names by a public id: their own, or a vehicle's."""
    ids = [subject for subject in subjects if len(subject) == 36 and subject.count("-") == 4]
    found: set[tuple[int, int | None]] = set(Vehicle.objects.filter(public_id__in=ids).values_list("owner_id", "pk"))
    return found | {(pk, None) for pk in Owner.objects.filter(public_id__in=ids).values_list("pk", flat=True)}


def leads_to_owner(model: type[Model]) -> bool:
    """Whether a row's foreign keys lead to an Owner (as a Vehicle's and a Node's do), or directly to a User."""
    if model in (Owner, User) or User in _targets(model):
        return True
    seen, waiting = set[type[Model]](), {model}
    while waiting:
        here = waiting.pop()
        if here is Owner:
            return True
        seen.add(here)
        waiting |= _targets(here) - seen
    return False


def _targets(model: type[Model]) -> set[Any]:
    return {field.related_model for field in model._meta.concrete_fields if field.remote_field}


def check_site(site: admin.AdminSite) -> None:
    """Raises ImproperlyConfigured for a page that could show owners' data and is not guarded."""
    for model, options in site._registry.items():
        if leads_to_owner(model) and not isinstance(options, OwnerDataAdmin):
            raise ImproperlyConfigured(f"{model._meta.label} leads to owners: its admin must be an OwnerDataAdmin.")
