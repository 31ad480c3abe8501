"""The access trail: who read an owner's data. This module is the only writer of AccessEvent."""

from collections.abc import Iterable

from django.db import connection

from accounts.models import AccessEvent, Owner, User

SAME_LOOK_S = 60

# One statement for any number of owners. Reading the same page again within SAME_LOOK_S adds no row. DISTINCT: several
# rows of one page may be about the same owner and vehicle.
RECORD = """
INSERT INTO accounts_accessevent (owner_id, vehicle_id, actor_id, kind, what, reason)
SELECT DISTINCT n.owner_id, n.vehicle_id, %(actor)s::bigint, %(kind)s, %(what)s, %(reason)s
  FROM unnest(%(owners)s::bigint[], %(vehicles)s::bigint[]) AS n(owner_id, vehicle_id)
 WHERE NOT EXISTS (SELECT FROM accounts_accessevent e
                    WHERE e.owner_id = n.owner_id AND e.vehicle_id IS NOT DISTINCT FROM n.vehicle_id
                      AND e.actor_id = %(actor)s AND e.kind = %(kind)s AND e.what = %(what)s AND e.reason = %(reason)s
                      AND e.at > clock_timestamp() - make_interval(secs => %(same_look_s)s))
"""


def record(
    *,
    looked_at: Iterable[tuple[int, int | None]],
    actor: User | None,
    kind: str,
    what: str,
    reason: str,
) -> int:
    """Record that `actor` read data about each pair (owner id, vehicle id or None). Return the number of new rows.

    `what` names no person. `reason` is "category: words" and never empty. Without an actor, the system read the data.
    """
    pairs = list(looked_at)
    if not pairs:
        return 0
    owners, vehicles = zip(*pairs, strict=True)
    values = {
        "owners": list(owners),
        "vehicles": list(vehicles),
        "actor": actor.pk if actor else None,
        "kind": kind,
        "what": what[:160],
        "reason": reason[:300],
        "same_look_s": SAME_LOOK_S,
    }
    with connection.cursor() as cursor:
        cursor.execute(RECORD, values)
        return int(cursor.rowcount)


def record_export(*, owner: Owner, actor: User | None, what: str) -> None:
    """Record that the archive of an owner's export was made or downloaded."""
    record(
        looked_at=[(owner.pk, None)],
        actor=actor,
        kind=AccessEvent.Kind.EXPORT,
        what=what,
        reason="Export: the owner asked for it",
    )


def name_of(actor: User | None, *, reader: Owner) -> str:
    """Return the actor's name for an owner to read. Of staff it is the first name and the role, never more."""
    if actor is None:
        return "Driveway's own software"
    operator = getattr(actor, "operator", None)
    if operator is None:
        return "You" if actor.pk == reader.user_id else "Driveway staff"
    first = actor.name.split()[0] if actor.name.strip() else "no name"
    return f"{first} ({operator.get_role_display().lower()})"
