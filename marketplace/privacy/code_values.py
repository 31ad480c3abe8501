"""What the site's own code writes: left out of the search for names, so that somebody called "Owner" can be erased.

Addresses and VINs are looked for in these columns too.
"""

# No person's words ever come here: codes, keys, and records made of codes and ids.
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

# Columns for people's words, with what the code itself writes there (whole values, by PostgreSQL's regular expressions):
# the erasure's own "(erased)", and the reason of an export.
VALUES: dict[str, dict[str, str]] = {
    "accounts_accessevent": {"reason": r"^([^:]*: \(erased\)|Export: the owner asked for it)$"},
    "accounts_auditevent": {"details": r'^\{"erased": true\}$'},
    "accounts_user": {"email": r"^erased-[0-9]+@erased\.invalid$"},
    "django_admin_log": {"object_repr": r"^\(erased\)$"},
}
