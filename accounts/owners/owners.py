"""An owner's settings: name, country, locale, time zone and optional mails."""

from collections.abc import Sequence

from babel.core import get_global
from django.db import transaction
from django.db.models import F
from django.utils.translation.trans_real import parse_accept_lang_header

from accounts.access import audit
from accounts.mails.kinds import SETTABLE
from accounts.models import Owner, OwnerPolicy, User
from core import locale
from core.errors import InvalidInput


@transaction.atomic
def update_settings(
    *, owner: Owner, actor: User, name: str, country: str, time_zone: str, locale_name: str, mails_off: Sequence[str]
) -> Owner:
    """Change the owner's settings and return the owner. Equal settings change nothing.

    Cars whose rules follow the owner's time zone receive them again when it changes. Raises InvalidInput
    `name_invalid`, `country_invalid`, `time_zone_invalid`, `locale_invalid` or `mail_kind_invalid`.
    """
    _check(name, country, time_zone, locale_name, mails_off)
    owner = Owner.objects.select_for_update(no_key=True).get(pk=owner.pk)
    # Kinds of mail that exist no more or cannot be switched off: this form does not show them and keeps them.
    kept = [kind for kind in owner.mails_off if kind not in SETTABLE]
    new = {
        "name": name,
        "country": country,
        "time_zone": time_zone,
        "locale": locale_name,
        "mails_off": sorted({*kept, *mails_off}),
    }
    changed = [field for field, value in new.items() if getattr(owner, field) != value]
    if not changed:
        return owner
    for field in changed:
        setattr(owner, field, new[field])
    owner.save(update_fields=changed)
    if "name" in changed:
        User.objects.filter(pk=owner.user_id).update(name=name)
    if "time_zone" in changed:
        OwnerPolicy.objects.filter(vehicle__owner=owner, time_zone="").update(version=F("version") + 1)
    audit.record(actor=actor, action="owner.settings", subject=owner.public_id, fields=changed)  # names, never values
    return owner


def guess_locale(accept_language: str) -> tuple[str, str]:
    """Return (locale, time zone) for a new owner, guessed from the Accept-Language header alone.

    The time zone is guessed only for a country with one zone (or one principal zone, see PRINCIPAL_TIME_ZONES); else it
    is UTC.
    """
    for tag, _ in parse_accept_lang_header(accept_language.lower()[:500]):
        language, _, territory = tag.partition("-")
        exact = f"{language}-{territory.upper()}" if territory else ""
        name = exact if exact in locale.LOCALES else _default_locale(language)
        if name:
            return name, _zone_of(territory.upper() or name[-2:]) if territory or language != "en" else "UTC"
    return locale.DEFAULT, "UTC"


def _default_locale(language: str) -> str:
    """Return the locale to use for a language without a country: "de" -> "de-DE", "ja" -> "ja-JP", unknown -> ""."""
    same = f"{language}-{language.upper()}"
    return same if same in locale.LOCALES else next((n for n in locale.LOCALES if n.startswith(f"{language}-")), "")


def _zone_of(territory: str) -> str:
    zones = sorted(name for name, of in get_global("zone_territories").items() if of == territory)
    zones = PRINCIPAL_TIME_ZONES.get(territory, zones)
    return zones[0] if len(zones) == 1 and zones[0] in locale.time_zones() else "UTC"


# Countries where nearly everybody lives in one zone. CLDR also lists the zones of their islands and exclaves.
PRINCIPAL_TIME_ZONES = {
    "DE": ["Europe/Berlin"],
    "ES": ["Europe/Madrid"],
    "PT": ["Europe/Lisbon"],
    "NZ": ["Pacific/Auckland"],
    "CN": ["Asia/Shanghai"],
}


def _check(name: str, country: str, time_zone: str, locale_name: str, mails_off: Sequence[str]) -> None:
    if not name.strip() or len(name) > 120:
        raise InvalidInput("A name has 1 to 120 characters.", code="name_invalid")
    if country not in dict(locale.countries()):
        raise InvalidInput("There is no such country.", code="country_invalid")
    if time_zone not in locale.time_zones():
        raise InvalidInput("There is no such time zone.", code="time_zone_invalid")
    if locale_name not in locale.LOCALES:
        raise InvalidInput("This locale is not available.", code="locale_invalid")
    if unknown := set(mails_off) - set(SETTABLE):
        raise InvalidInput("These mails cannot be switched off.", code="mail_kind_invalid", kinds=sorted(unknown))
