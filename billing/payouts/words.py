"""Texts for owners: what Stripe's codes and our own codes mean. No database, no calls."""

from typing import Any

from billing.models import ConnectedAccount, Payout
from billing.payouts import account_states

# (part of Stripe's name of a requirement, text for the owner); the first that matches counts.
REQUIREMENTS = (
    ("external_account", "A bank account that you are paid to"),
    ("outbound_destination", "A bank account that you are paid to"),
    ("payment_method", "A bank account that you are paid to"),
    ("documents", "A document that shows who you are, or where you live"),
    ("date_of_birth", "Your date of birth"),
    ("given_name", "Your name"),
    ("surname", "Your name"),
    ("address", "Your address"),
    ("id_number", "Your tax or identity number"),
    ("phone", "Your telephone number"),
    ("email", "Your e-mail address"),
    ("terms_of_service", "Your agreement to Stripe’s terms"),
)
# Stripe's code for why it does not let us pay, and `transfer_refused` of our own -> text for the owner.
RESTRICTIONS = {
    "requirements_past_due": "Something that Stripe asked for did not arrive in time.",
    "requirements_pending_verification": "Stripe is checking what you entered.",
    "determining_status": "Stripe is checking what you entered.",
    "restricted_other": "Stripe has restricted your account. Only its support can say why.",
    "unsupported_business": "Stripe does not pay for this kind of work.",
    "unsupported_country": "Stripe cannot pay to your country.",
    "unsupported_entity_type": "Stripe cannot pay an account of this kind.",
    "transfer_refused": "Stripe refused a payment to your account. We are asking Stripe why.",
}
# `status_code` of a scheduled payout -> text for the owner.
WAITS = {
    "account_not_ready": "Waits until Stripe can pay you.",
    "balance_low": "Waits for customers’ payments to arrive. Older payouts come first.",
    "held": "Held while our staff checks something. You need not do anything.",
    "owner_closed": "The account that it belongs to was erased.",
}
# `bank_status` of a payout -> text for the owner.
BANK = {"pending": "On its way to your bank", "paid": "At your bank", "failed": "Your bank did not accept it"}
REJECTED = "Stripe does not accept this account."


def requirements(account: ConnectedAccount) -> list[dict[str, Any]]:
    """Return what Stripe still requires, each thing once, what the owner must do now first.

    A row has `what`, `yours` (the owner must act), `late` (past due), `later` (not due yet), `wrong` (errors of earlier
    answers).
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in account.requirements:
        what = next((words for part, words in REQUIREMENTS if part in entry["name"]), entry["name"])
        yours = entry["waits_for"] == "user"
        row = found.setdefault(what, {"what": what, "yours": False, "late": False, "later": True, "wrong": []})
        row["yours"] |= yours
        row["late"] |= entry["due"] == "past_due"
        row["later"] &= entry["due"] not in account_states.NOW_DUE
        row["wrong"] += [error.replace("_", " ") for error in entry["errors"]]
    return sorted(found.values(), key=lambda row: (not row["yours"], row["later"], row["what"]))


def restriction(account: ConnectedAccount) -> str:
    """Return why Stripe does not let us pay, or ""."""
    if account.status_code.startswith("rejected"):
        return REJECTED
    return RESTRICTIONS.get(account.status_code, "")


def state(payout: Payout) -> str:
    """Return the key of the badge: scheduled, waits, sending, paid, at_bank, bank_failed, returned or reversed."""
    if payout.status == Payout.Status.SCHEDULED and payout.status_code:
        return "waits"
    if payout.status == Payout.Status.PAID:
        return {"paid": "at_bank", "failed": "bank_failed"}.get(payout.bank_status, "paid")
    return payout.status


def why(payout: Payout) -> str:
    """Return a sentence that explains the payout's state, or ""."""
    if payout.status == Payout.Status.SCHEDULED:
        return WAITS.get(payout.status_code, "")
    if payout.status == Payout.Status.SENDING and payout.status_code:
        return "Something went wrong on the way. Nothing is lost: our staff is checking it."
    if payout.status == Payout.Status.PAID and payout.bank_status == "failed":
        return "It waits in your account at Stripe. Check your bank account there."
    if payout.status == Payout.Status.RETURNED:
        return "It is part of your next statement."
    if payout.status == Payout.Status.REVERSED:
        return "Taken back, and owed to you again. Write to us if you do not know the reason."
    return ""
