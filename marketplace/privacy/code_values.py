"""Columns and values that only the site's code writes.

The search for names skips them, so that a person called "Owner" can be erased. The search for addresses and VINs does
not skip them.
"""

# Table -> columns that never hold a person's words: codes, keys, and records made of codes and ids.
COLUMNS: dict[str, frozenset[str]] = {
    "accounts_accessevent": frozenset({"kind", "what"}),
    "accounts_auditevent": frozenset({"action"}),
    "accounts_consentcurrent": frozenset({"purpose", "state"}),
    "accounts_consentrecord": frozenset({"purpose", "state", "method", "payload"}),
    "accounts_dataexport": frozenset({"status", "status_code"}),
    "accounts_erasurerequest": frozenset({"status", "status_code", "proof"}),
    "accounts_owner": frozenset({"currency", "time_zone", "locale"}),
    "accounts_ownerpolicy": frozenset({"preset", "time_zone", "network", "power_rule", "pause"}),
    "accounts_vehicle": frozenset({"kind", "retired_code"}),
    "billing_ledgeraccount": frozenset({"key", "kind", "currency"}),
    "billing_ledgertransfer": frozenset({"kind", "currency", "idempotency_key", "meta"}),
    "compute_attempt": frozenset({"status", "status_code"}),
    "compute_attemptevent": frozenset({"from_status", "to_status", "reason"}),
    "compute_meterconflict": frozenset({"record"}),
    "compute_meterrecord": frozenset({"outcome", "energy_method", "record"}),
    "compute_node": frozenset({"status", "status_code"}),
    "compute_nodeevent": frozenset({"from_status", "to_status", "reason"}),
}

# Table -> column that holds people's words -> the values that the code itself writes there: the erasure's "(erased)"
# and the reason of an export. Each is a PostgreSQL regular expression for a whole value.
VALUES: dict[str, dict[str, str]] = {
    "accounts_accessevent": {"reason": r"^([^:]*: \(erased\)|Export: the owner asked for it)$"},
    "accounts_auditevent": {"details": r'^\{"erased": true\}$'},
    "accounts_user": {"email": r"^erased-[0-9]+@erased\.invalid$"},
    "django_admin_log": {"object_repr": r"^\(erased\)$"},
}
