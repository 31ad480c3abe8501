"""The versioned texts of purposes: find the one in effect, publish a new one, and mail the owners whom it concerns.

A text may be published before it takes effect. Owners can accept the newest text at once; consent to the version before
it stays in force until the new one takes effect.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import ConsentNotice, Owner, Purpose
from core.errors import Conflict, InvalidInput, NotFound

DEFAULT_LANGUAGE = "en"
# Least time between publishing and taking effect: the new text is committed before it takes effect.
LEAD = timedelta(minutes=1)
NO_EARLIER_CONSENT = 1  # version 1 replaces nothing

# Owners with consent in force to an older version who have not been mailed yet: a mail's dedupe_key ends in the owner's
# id.
OUTDATED_OWNERS = """
SELECT DISTINCT o.id
  FROM accounts_consentcurrent c JOIN accounts_owner o ON o.id = c.owner_id AND o.deactivated_at IS NULL
 WHERE c.purpose = %s AND c.notice_version < %s AND c.state IN ('given', 'renewed') AND c.expires_at > now()
   AND NOT EXISTS (SELECT FROM accounts_mail m WHERE m.dedupe_key = %s::text || o.id)
 LIMIT %s
"""


def current_notice(purpose: str, language: str = DEFAULT_LANGUAGE) -> ConsentNotice:
    """Return the newest text of a purpose, in effect or not yet, in this language if it exists. Raises NotFound."""
    newest = ConsentNotice.objects.filter(purpose=purpose).order_by("-version").values("version")[:1]
    notice = best_language(ConsentNotice.objects.filter(purpose=purpose, version=newest), language)
    if notice is None:
        raise NotFound("There is no such purpose.", purpose=purpose)
    return notice


def current_notices(language: str = DEFAULT_LANGUAGE) -> dict[str, ConsentNotice]:
    """Return the `current_notice` of every purpose, by purpose, with one query."""
    newest: dict[str, list[ConsentNotice]] = {}
    for notice in ConsentNotice.objects.order_by("purpose", "-version"):
        texts = newest.setdefault(notice.purpose, [notice])
        if notice.version == texts[0].version and notice is not texts[0]:
            texts.append(notice)
    chosen = {purpose: best_language(texts, language) for purpose, texts in newest.items()}
    return {purpose: notice for purpose, notice in chosen.items() if notice}


def best_language(texts: Iterable[ConsentNotice], language: str) -> ConsentNotice | None:
    """Return the text in this language, else in English, else any; None if there are none. They are of one version."""
    by_language = {notice.language: notice for notice in texts}
    return by_language.get(language) or by_language.get(DEFAULT_LANGUAGE) or next(iter(by_language.values()), None)


def language_of(owner: Owner) -> str:
    """Return the language of an owner's locale: "de" for "de-DE"."""
    return owner.locale.replace("_", "-").split("-")[0].lower() or DEFAULT_LANGUAGE


def version_in_effect(purpose: str) -> int:
    """Return the version that is in effect now (0: none). Consent to an older version is not in force."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT accounts_notice_version(%s)", [purpose])
        return int(cursor.fetchone()[0])


def versions_in_effect() -> dict[str, int]:
    """Return the `version_in_effect` of every purpose, by purpose, with one query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT p, accounts_notice_version(p) FROM unnest(%s::text[]) AS p", [list(Purpose.values)])
        return dict(cursor.fetchall())


def text_sha256(title: str, summary: str, body: str) -> str:
    """Return the hash of a text that consent records and receipts contain, as 64 hex digits."""
    return hashlib.sha256(f"{title}\n\n{summary}\n\n{body}".encode()).hexdigest()


@transaction.atomic
def publish(
    *,
    purpose: str,
    version: int,
    language: str,
    title: str,
    summary: str,
    body: str,
    validity_days: int,
    effective_at: datetime | None,
) -> tuple[ConsentNotice, bool]:
    """Publish a text. Return (notice, whether it is new): publishing the same text again changes nothing.

    At `effective_at` consent to older versions ends; owners may accept the new text before. For another language of a
    published version, leave `effective_at` None or give that version's time. Raises InvalidInput for invalid values,
    `effective_missing` or `effective_too_soon`, and Conflict `notice_published` (the version has another text),
    `version_order` (the number is not the next one) or `effective_differs`.
    """
    _lock(purpose)
    known = list(ConsentNotice.objects.filter(purpose=purpose).order_by("-version"))
    sha256 = text_sha256(title, summary, body)
    same = next((n for n in known if (n.version, n.language) == (version, language)), None)
    if same:
        if (same.sha256, same.validity_days) != (sha256, validity_days):
            raise Conflict(
                "This version is published and cannot change. Give the text a new number.", code="notice_published"
            )
        return same, False
    _check(purpose, language, title, summary, body, validity_days)
    effective_at = _effective(known, version, effective_at)
    notice = ConsentNotice.objects.create(
        purpose=purpose,
        version=version,
        language=language,
        title=title,
        summary=summary,
        body=body,
        sha256=sha256,
        validity_days=validity_days,
        effective_at=effective_at,
    )
    return notice, True


def announce(*, limit: int = 500) -> int:
    """Queue a mail to each owner whose consent is to an older version than the newest.

    Return how many, at most `limit`.
    """
    count = 0
    for purpose, notice in current_notices().items():
        if notice.version == NO_EARLIER_CONSENT:
            continue
        key = f"notice-changed:{purpose}:{notice.version}:"
        with connection.cursor() as cursor:
            cursor.execute(OUTDATED_OWNERS, [purpose, notice.version, key, limit - count])
            owners = [row[0] for row in cursor.fetchall()]
        for owner_id in owners:
            _mail(owner_id, notice.purpose, key)
        count += len(owners)
    return count


def _mail(owner_id: int, purpose: str, key: str) -> None:
    owner = Owner.objects.select_related("user").get(pk=owner_id)
    text = current_notice(purpose, language_of(owner))
    context = {
        "purpose": purpose,
        "title": text.title,
        "version": text.version,
        "effective_on": text.effective_at.date().isoformat(),
        "notice_path": f"/notices/{text.purpose}/{text.version}?language={text.language}",
    }
    outbox.queue(user=owner.user, kind="notice-changed", dedupe_key=f"{key}{owner_id}", context=context)


def _lock(purpose: str) -> None:
    """Let one transaction at a time publish texts of a purpose, so that version numbers stay in order."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('notice:' || %s))", [purpose])


def _check(purpose: str, language: str, title: str, summary: str, body: str, validity_days: int) -> None:
    if purpose not in Purpose.values:
        raise InvalidInput("There is no such purpose.", code="purpose_unknown", purpose=purpose)
    if not (language.isascii() and language.isalpha() and 2 <= len(language) <= 8 and language.islower()):
        raise InvalidInput("A language is a short code, like en.", code="language_invalid", language=language)
    if not title or not summary or not body or len(title) > 120 or len(summary) > 300:
        raise InvalidInput(
            "A text has a title of at most 120 characters, a summary of at most 300, and a body.", code="text_invalid"
        )
    if not 1 <= validity_days <= 3650:
        raise InvalidInput("A consent lasts between a day and ten years.", code="validity_invalid")


def _effective(known: list[ConsentNotice], version: int, effective_at: datetime | None) -> datetime:
    """Return when a version takes effect. Raises InvalidInput or Conflict as `publish` describes."""
    newest = known[0].version if known else 0
    if version == newest:  # another language of the newest version
        first = next(n for n in known if n.version == version)
        if effective_at not in (None, first.effective_at):
            raise Conflict("All languages of a version take effect together.", code="effective_differs")
        return first.effective_at
    if version != newest + 1:
        raise Conflict(f"The next version is {newest + 1}.", code="version_order")
    if effective_at is None:
        raise InvalidInput("State when the new version takes effect.", code="effective_missing")
    if effective_at < timezone.now() + LEAD:
        raise InvalidInput(
            "A version can take effect one minute after it is published, or later.", code="effective_too_soon"
        )
    return effective_at
