"""Retention of the tables of work. marketplace/privacy/retention.py applies these rules."""

from core.privacy import CUSTOMER, DELETE, KEEP, SITE, YEAR, Rule

PAID = "evidence for payments: tax and accounting law; append-only, archived by partition afterwards"
RETENTION = (
    Rule("compute_availabilityspan", "ended_at", 90, DELETE, "the text of consent `availability` says so"),
    Rule("compute_healthday", "day", 90, DELETE, "the text of consent `reliability` says so"),
    Rule("compute_enrolmentcode", "expires_at", 30, DELETE, "useless once expired; a month to answer questions"),
    Rule("compute_pairing", "expires_at", 1, DELETE, "a computer that nobody confirmed leaves no data"),
    Rule("compute_node", "created_at", None, KEEP, "its key verifies signed records"),
    Rule("compute_nodeevent", "at", 10 * YEAR, KEEP, PAID),
    Rule("compute_nodepresence", "", None, KEEP, "one row for each node, overwritten at every sync"),
    Rule("compute_attempt", "leased_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_attemptevent", "at", 10 * YEAR, KEEP, PAID),
    Rule("compute_meterrecord", "received_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_usagerecord", "created_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_meterconflict", "received_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_nodedecision", "created_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_classfigures", "valid_from_at", None, KEEP, SITE),
    Rule("compute_modelartifact", "", None, KEEP, CUSTOMER),
    Rule("compute_modelartifactevent", "", None, KEEP, CUSTOMER),
    Rule("compute_inputfile", "", None, KEEP, CUSTOMER),
    Rule("compute_inferencejob", "", None, KEEP, CUSTOMER),
    Rule("compute_inferencejobevent", "", None, KEEP, CUSTOMER),
    Rule("compute_workunit", "", None, KEEP, CUSTOMER),
    Rule("compute_hardwareclass", "", None, KEEP, SITE),
)
