"""How long rows of the tables of accounts are kept. marketplace/privacy/retention.py applies these rules."""

from core.privacy import ACCOUNT, CUSTOMER, DELETE, FILES, KEEP, SITE, YEAR, Rule

PROOF = "proof of consent: the records' own retention period (P7Y); append-only, archived by partition afterwards"
RETENTION = (
    Rule("accounts_idempotencyrecord", "created_at", 30, DELETE, "a request is not repeated after a month"),
    Rule(
        "accounts_mail",
        "created_at",
        180,
        DELETE,
        "to answer whether a mail was sent",
        "sent_at IS NOT NULL OR dropped_at IS NOT NULL",
    ),
    Rule(
        "accounts_dataexport", "expires_at", 0, FILES, "the archive; the entry stays as proof that the request was met"
    ),
    Rule("accounts_accessevent", "at", 3 * YEAR, KEEP, "access trail: limitation period of claims; append-only"),
    Rule(
        "accounts_auditevent", "at", 7 * YEAR, KEEP, "audit trail: security, limitation period of claims; append-only"
    ),
    Rule("accounts_consentrecord", "at", 7 * YEAR, KEEP, PROOF),
    Rule("accounts_consentcurrent", "", None, KEEP, "repeats the latest consent record"),
    Rule("accounts_consentnotice", "published_at", None, KEEP, "texts that consent records refer to"),
    Rule("accounts_erasurerequest", "ended_at", None, KEEP, "proof of an erasure; names no person"),
    Rule("accounts_user", "", None, KEEP, ACCOUNT),
    Rule("accounts_owner", "", None, KEEP, ACCOUNT),
    Rule("accounts_vehicle", "", None, KEEP, ACCOUNT),
    Rule("accounts_ownerpolicy", "", None, KEEP, ACCOUNT),
    Rule("accounts_operator", "", None, KEEP, "as long as somebody is staff"),
    Rule("accounts_user_groups", "", None, KEEP, "as long as somebody is staff; unused"),
    Rule("accounts_user_user_permissions", "", None, KEEP, "as long as somebody is staff; unused"),
    Rule("accounts_organization", "", None, KEEP, CUSTOMER),
    Rule("accounts_membership", "", None, KEEP, CUSTOMER),
    Rule("accounts_apikey", "", None, KEEP, CUSTOMER),
    Rule("accounts_statetransition", "", None, KEEP, SITE),
)
