"""Mails about consents that end soon: one 30 days before the end and one 7 days before."""

from django.db import connection

from accounts.mails import outbox
from accounts.models import ConsentCurrent

DAYS_BEFORE = (7, 30)  # nearest first: a consent that ends within 7 days gets no mail about 30 days
KIND = "consent-reminder"

# No mail for a consent whose validity is shorter than the notice period, or whose text is no longer in effect.
# Parameters: nearer period, period, period (days), prefix of the dedupe_key, limit.
DUE = """
SELECT c.id FROM accounts_consentcurrent c
  JOIN accounts_consentrecord r ON r.id = c.record_id
  JOIN accounts_owner o ON o.id = c.owner_id AND o.deactivated_at IS NULL
 WHERE c.state IN ('given', 'renewed')
   AND c.expires_at > now() + make_interval(days => %s) AND c.expires_at <= now() + make_interval(days => %s)
   AND r.at < c.expires_at - make_interval(days => %s)
   AND NOT EXISTS (SELECT FROM accounts_consentnotice n
                    WHERE n.purpose = c.purpose AND n.version > c.notice_version AND n.effective_at <= now())
   AND NOT EXISTS (SELECT FROM accounts_mail m WHERE m.dedupe_key = %s::text || r.public_id)
 ORDER BY c.expires_at
 LIMIT %s
"""


def remind(*, limit: int = 500) -> int:
    """Queue the reminders that are due. Return how many, at most `limit`."""
    count, nearer = 0, 0
    for days in DAYS_BEFORE:
        with connection.cursor() as cursor:
            cursor.execute(DUE, [nearer, days, days, f"{KIND}:{days}:", limit - count])
            ids = [row[0] for row in cursor.fetchall()]
        rows = ConsentCurrent.objects.filter(pk__in=ids).select_related("owner__user", "vehicle", "record__notice")
        for current in rows:
            _mail(current, days)
        count, nearer = count + len(ids), days
    return count


def _mail(current: ConsentCurrent, days: int) -> None:
    assert current.expires_at
    context = {
        "purpose": current.purpose,
        "title": current.record.notice.title,
        "vehicle": str(current.vehicle.public_id) if current.vehicle else "",
        "ends_on": current.expires_at.date().isoformat(),
        "days": days,
    }
    key = f"{KIND}:{days}:{current.record.public_id}"
    outbox.queue(user=current.owner.user, kind=KIND, dedupe_key=key, context=context)
