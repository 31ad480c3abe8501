"""How long each table's rows are kept, for every table of the site: one list, one report, one daily task."""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.owners import exports

logger = logging.getLogger(__name__)
BATCH = 5000
BUDGET_S = 300.0  # the next day goes on where this one stopped
DELETE, KEEP, FILES = "delete", "keep", "delete file"


@dataclass(frozen=True)
class Rule:
    """`days` after `column` a row is due. Kept ones say until when they must be; None: as long as what they belong to."""

    table: str
    column: str
    days: int | None
    action: str
    why: str
    where: str = ""


YEAR = 365
PROOF = "proof of consent: the records' own retention period (P7Y); append-only, archived by partition afterwards"
PAID = "evidence beneath money that was paid: tax and accounting law; append-only, archived by partition afterwards"
LEDGER = "the ledger: tax and accounting law; append-only, archived by partition afterwards"
BENEATH = "as long as the document or the days that it belongs to: tax and accounting law"
ACCOUNT = "lives and ends with its account: the erasure destroys what is personal in it"
CUSTOMER = "a customer's: kept while the contract lasts"
SITE = "the site's own: no person data"

RULES: tuple[Rule, ...] = (
    # deleted
    Rule("compute_availabilityspan", "ended_at", 90, DELETE, "the text of consent `availability` says so"),
    Rule("compute_healthday", "day", 90, DELETE, "the text of consent `reliability` says so"),
    Rule("compute_enrolmentcode", "expires_at", 30, DELETE, "of no use after it ends; a month to answer questions"),
    Rule("compute_pairing", "expires_at", 1, DELETE, "nothing is left of a computer that nobody claimed"),
    Rule("accounts_idempotencyrecord", "created_at", 30, DELETE, "nobody repeats a request after a month"),
    Rule("django_session", "expire_date", 0, DELETE, "a session that is over"),
    Rule(
        "accounts_mail",
        "created_at",
        180,
        DELETE,
        "to answer whether a mail was sent",
        "sent_at IS NOT NULL OR dropped_at IS NOT NULL",
    ),
    Rule("account_emailconfirmation", "created", 30, DELETE, "a confirmation that nobody gave"),
    Rule("django_admin_log", "action_time", 2 * YEAR, DELETE, "what staff did in the back office: security"),
    Rule(
        "accounts_dataexport", "expires_at", 0, FILES, "the archive; the entry stays and says that the request was met"
    ),
    # kept, and until when
    Rule("accounts_accessevent", "at", 3 * YEAR, KEEP, "who looked: limitation of claims; append-only"),
    Rule("accounts_auditevent", "at", 7 * YEAR, KEEP, "who did what: security, limitation of claims; append-only"),
    Rule("accounts_consentrecord", "at", 7 * YEAR, KEEP, PROOF),
    Rule("accounts_consentcurrent", "", None, KEEP, "repeats the latest consent record"),
    Rule("accounts_consentnotice", "published_at", None, KEEP, "texts that records point to"),
    Rule("accounts_erasurerequest", "ended_at", None, KEEP, "the proof that somebody was erased; names no person"),
    Rule("compute_node", "created_at", None, KEEP, "its key verifies signed records"),
    Rule("compute_nodeevent", "at", 10 * YEAR, KEEP, PAID),
    Rule("compute_nodepresence", "", None, KEEP, "one row a node, overwritten each time"),
    Rule("compute_attempt", "leased_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_attemptevent", "at", 10 * YEAR, KEEP, PAID),
    Rule("compute_meterrecord", "received_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_usagerecord", "created_at", 10 * YEAR, KEEP, PAID),
    Rule("billing_ledgeraccount", "", None, KEEP, LEDGER),
    Rule("billing_ledgertransfer", "posted_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_ratedusage", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_joborder", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_topup", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_cardtopup", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_cardtopupevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_balancetransaction", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_stripecommand", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_stripeevent", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_stripecustomer", "", None, KEEP, CUSTOMER),
    Rule("billing_stripesweep", "", None, KEEP, SITE),
    Rule("billing_ratecard", "valid_from_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_promocredit", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_refund", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_carddispute", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_statement", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_payout", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_invoice", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_usagevoid", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_dispute", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_disputemessage", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_approval", "created_at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_refundevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_carddisputeevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_payoutevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_disputeevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_connectedaccountevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_savedcardevent", "at", 10 * YEAR, KEEP, LEDGER),
    Rule("billing_statemententry", "", None, KEEP, BENEATH),
    Rule("billing_statementline", "", None, KEEP, BENEATH),
    Rule("billing_invoiceentry", "", None, KEEP, BENEATH),
    Rule("billing_invoiceline", "", None, KEEP, BENEATH),
    Rule("billing_earningsday", "", None, KEEP, BENEATH),
    Rule("billing_spendday", "", None, KEEP, BENEATH),
    Rule("billing_autorecharge", "", None, KEEP, CUSTOMER),
    Rule("billing_spendcap", "", None, KEEP, CUSTOMER),
    Rule("billing_billingprofile", "", None, KEEP, CUSTOMER),
    Rule("billing_savedcard", "", None, KEEP, CUSTOMER),
    Rule("billing_connectedaccount", "", None, KEEP, LEDGER),
    Rule("billing_ledgercheck", "created_at", 10 * YEAR, KEEP, SITE),
    Rule("billing_ledgerdifference", "created_at", 10 * YEAR, KEEP, SITE),
    Rule("compute_meterconflict", "received_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_nodedecision", "created_at", 10 * YEAR, KEEP, PAID),
    Rule("compute_classfigures", "valid_from_at", None, KEEP, SITE),
    # with their account
    Rule("accounts_user", "", None, KEEP, ACCOUNT),
    Rule("accounts_owner", "", None, KEEP, ACCOUNT),
    Rule("accounts_vehicle", "", None, KEEP, ACCOUNT),
    Rule("accounts_ownerpolicy", "", None, KEEP, ACCOUNT),
    Rule("account_emailaddress", "", None, KEEP, ACCOUNT),
    Rule("mfa_authenticator", "", None, KEEP, ACCOUNT),
    Rule("accounts_operator", "", None, KEEP, "staff, while they are"),
    Rule("accounts_user_groups", "", None, KEEP, "staff, while they are; unused"),
    Rule("accounts_user_user_permissions", "", None, KEEP, "staff, while they are; unused"),
    # customers'
    Rule("accounts_organization", "", None, KEEP, CUSTOMER),
    Rule("accounts_membership", "", None, KEEP, CUSTOMER),
    Rule("accounts_apikey", "", None, KEEP, CUSTOMER),
    Rule("compute_modelartifact", "", None, KEEP, CUSTOMER),
    Rule("compute_modelartifactevent", "", None, KEEP, CUSTOMER),
    Rule("compute_inputfile", "", None, KEEP, CUSTOMER),
    Rule("compute_inferencejob", "", None, KEEP, CUSTOMER),
    Rule("compute_inferencejobevent", "", None, KEEP, CUSTOMER),
    Rule("compute_workunit", "", None, KEEP, CUSTOMER),
    # the site's
    Rule("accounts_statetransition", "", None, KEEP, SITE),
    Rule("compute_hardwareclass", "", None, KEEP, SITE),
    Rule("auth_group", "", None, KEEP, SITE),
    Rule("auth_group_permissions", "", None, KEEP, SITE),
    Rule("auth_permission", "", None, KEEP, SITE),
    Rule("django_content_type", "", None, KEEP, SITE),
    Rule("django_migrations", "", None, KEEP, SITE),
)


@dataclass(frozen=True)
class Line:
    """One table in the report."""

    rule: Rule
    due: int
    oldest: datetime | None
    deleted: int


def run(*, dry_run: bool = False) -> list[Line]:
    """Apply every rule, in batches, and report. A run that is cut short goes on the next time; running twice changes nothing."""
    until = time.monotonic() + BUDGET_S
    lines = [_apply(rule, dry_run, until) for rule in RULES]
    if not dry_run:
        remove_leftovers()
    return lines


def _apply(rule: Rule, dry_run: bool, until: float) -> Line:
    if rule.days is None:
        return Line(rule, 0, None, 0)
    cutoff = timezone.now() - timedelta(days=rule.days)
    due, oldest = _due(rule, cutoff)
    if dry_run or not due or rule.action == KEEP:
        return Line(rule, due, oldest, 0)
    removal: Callable[[], int] = exports.expire if rule.action == FILES else lambda: _delete(rule, cutoff, until)
    return Line(rule, due, oldest, removal())


def _due(rule: Rule, cutoff: datetime) -> tuple[int, datetime | None]:
    sql = f"SELECT count(*), min({rule.column})::timestamptz FROM {rule.table} WHERE {_condition(rule)}"  # noqa: S608 - RULES' own names
    with connection.cursor() as cursor:
        cursor.execute(sql, [cutoff])
        count, oldest = cursor.fetchone()
    return count, oldest


def _delete(rule: Rule, cutoff: datetime, until: float) -> int:
    """Small transactions, so that nobody waits for a large one."""
    sql = f"DELETE FROM {rule.table} WHERE ctid IN (SELECT ctid FROM {rule.table} WHERE {_condition(rule)} LIMIT {BATCH} FOR UPDATE SKIP LOCKED)"  # noqa: S608 - RULES' own names
    total = 0
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(sql, [cutoff])
            total += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return total


def _condition(rule: Rule) -> str:
    condition = f"{rule.column} < %s"
    if rule.action == FILES:
        condition += " AND status = 'ready'"
    return f"{condition} AND ({rule.where})" if rule.where else condition


def remove_leftovers() -> None:
    """Folders of exports whose worker was killed."""
    old = time.time() - 86_400
    for folder in Path(settings.EXPORT_ROOT).glob("making-*"):
        if folder.stat().st_mtime < old:
            shutil.rmtree(folder, ignore_errors=True)
