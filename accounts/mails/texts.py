"""Render a mail of the outbox, with dates and numbers in its recipient's locale and time zone."""

from datetime import date
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context, TemplateDoesNotExist
from django.template.loader import get_template
from django.utils.dateparse import parse_datetime

from accounts.mails.kinds import KINDS
from accounts.models import Mail, Owner, Vehicle
from core import locale


def message_of(mail: Mail, owner: Owner | None) -> EmailMultiAlternatives:
    """Return the message to send. Raises TemplateDoesNotExist for a kind without templates."""
    with locale.override(*((owner.locale, owner.time_zone) if owner else (locale.DEFAULT, "UTC"))):
        context = _context(mail, owner)
        subject = " ".join(_text(f"{mail.kind}-subject.txt", context).split())
        body = _text("base.txt", {**context, "body": _text(f"{mail.kind}-body.txt", context).strip()})
        html = _html(mail, context)
    message = EmailMultiAlternatives(subject, body, to=[mail.user.email], headers=mail.context.get("headers"))
    if html:
        message.attach_alternative(html, "text/html")
    return message


def _context(mail: Mail, owner: Owner | None) -> dict[str, Any]:
    """Return the row's own context and what every template may use.

    `car` is the vehicle with the row's "vehicle" id.
    """
    return {
        **{name: _localized(name, value) for name, value in mail.context.items() if name != "headers"},
        "user": mail.user,
        "owner": owner,
        "site_url": settings.SITE_URL,
        "car": _car(mail.context.get("vehicle"), owner),
        "kind": KINDS.get(mail.kind),
    }


def _localized(name: str, value: Any) -> Any:
    if isinstance(value, str) and (name == "at" or name.endswith("_at")):
        at = parse_datetime(value)
        return locale.moment(at) if at and at.tzinfo else value
    if isinstance(value, str) and name.endswith("_on"):
        try:
            return locale.day(date.fromisoformat(value))
        except ValueError:
            return value
    return value


def _car(public_id: Any, owner: Owner | None) -> Vehicle | None:
    try:
        return Vehicle.objects.filter(public_id=UUID(str(public_id)), owner=owner).first() if owner else None
    except ValueError:
        return None


def _text(name: str, context: dict[str, Any]) -> str:
    """Render a plain-text template. Autoescape is off: a typed "&" must not become "&amp;" in plain text."""
    template: Any = get_template(f"emails/{name}")
    return str(template.template.render(Context(context, autoescape=False)))


def _html(mail: Mail, context: dict[str, Any]) -> str:
    try:
        template = get_template(f"emails/{mail.kind}-body.html")
    except TemplateDoesNotExist:
        return ""
    return template.render(context)
