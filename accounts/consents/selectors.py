"""An owner's consents for pages: for each purpose its newest text, the last decision and whether that is in force."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.consents import consents, notices
from accounts.models import (
    IN_FORCE,
    PERSONAL,
    VEHICLE_PURPOSES,
    ConsentCurrent,
    ConsentNotice,
    Owner,
    Vehicle,
)

UNDO_PERIOD = timedelta(minutes=10)  # how long the page offers to undo a withdrawal or refusal


def consents_of(
    vehicles: Sequence[Vehicle], purposes: Iterable[str] = VEHICLE_PURPOSES, *, language: str = notices.DEFAULT_LANGUAGE
) -> dict[int, dict[str, dict[str, Any]]]:
    """Return the consents of vehicles, by vehicle id and then by purpose; each as `consent_details` returns it."""
    texts, counting = notices.current_notices(language), notices.versions_in_effect()
    rows = ConsentCurrent.objects.filter(vehicle__in=[vehicle.pk for vehicle in vehicles]).select_related(
        "record__notice"
    )
    current = {(row.vehicle_id, row.purpose): row for row in rows}
    return {
        vehicle.pk: {
            purpose: consent_details(texts[purpose], counting[purpose], current.get((vehicle.pk, purpose)))
            for purpose in purposes
            if purpose in texts
        }
        for vehicle in vehicles
    }


def personal_consents_of(owner: Owner, *, language: str = notices.DEFAULT_LANGUAGE) -> dict[str, dict[str, Any]]:
    """Return an owner's consents to personal purposes, by purpose; each as `consent_details` returns it."""
    texts, counting = notices.current_notices(language), notices.versions_in_effect()
    rows = ConsentCurrent.objects.filter(owner=owner, vehicle=None).select_related("record__notice")
    current = {row.purpose: row for row in rows}
    return {
        purpose: consent_details(texts[purpose], counting[purpose], current.get(purpose))
        for purpose in PERSONAL
        if purpose in texts
    }


def consent_details(notice: ConsentNotice, counting: int, row: ConsentCurrent | None) -> dict[str, Any]:
    """Return a consent as pages show it.

    `counting` is the version of the text now in effect; `state` is from `state_of`.
    """
    state = state_of(counting, row)
    in_force = state in IN_FORCE
    return {
        "purpose": notice.purpose,
        "title": notice.title,
        "notice_summary": notice.summary,
        "notice_version": notice.version,
        "notice_language": notice.language,
        "notice_sha256": notice.sha256,
        "state": state,
        "is_in_force": in_force,
        "since_at": row.record.at if row else None,
        "expires_at": row.expires_at if row and in_force else None,
        "record_id": row.record.public_id if row else None,
        "renew": _renewal(notice, row) if row and in_force else "",
        "new_text_at": _new_text_at(notice, row) if row and in_force else None,
    }


def state_of(counting: int, row: ConsentCurrent | None) -> str:
    """Return the present state: "none", the last decision ("given" to "expired"), or "outdated".

    "outdated" is consent to an older version than `counting`, the version of the text now in effect.
    """
    if row is None:
        return "none"
    if row.state not in IN_FORCE:
        return row.state
    if not row.is_given:
        return "expired"
    return "outdated" if row.notice_version < counting else row.state


def _renewal(notice: ConsentNotice, row: ConsentCurrent) -> str:
    """Return why the page offers to renew the consent: "new_text", "ending", or "" for no reason."""
    if row.notice_version < notice.version:
        return "new_text"
    return "ending" if consents.may_renew(row) else ""


def _new_text_at(notice: ConsentNotice, row: ConsentCurrent) -> datetime | None:
    """Return when a newer, published text takes effect, or None if consent is to the newest."""
    return notice.effective_at if row.notice_version < notice.version else None


def undo_of(owner: Owner, record_id: UUID | str) -> dict[str, Any] | None:
    """Return the consent that this record withdrew or refused, so that the page can offer to give it again.

    The result is that of `consent_details` with "vehicle" added. None if it was decided again since, is older than
    UNDO_PERIOD, or its vehicle is retired.
    """
    row = (
        ConsentCurrent.objects.filter(
            owner=owner,
            record__public_id=record_id,
            state__in=["withdrawn", "refused"],
            record__at__gt=timezone.now() - UNDO_PERIOD,
        )
        .exclude(vehicle__retired_at__isnull=False)
        .select_related("record__notice", "vehicle")
        .first()
    )
    if row is None:
        return None
    notice = notices.current_notice(row.purpose, notices.language_of(owner))
    return {"vehicle": row.vehicle, **consent_details(notice, 0, row)}
