"""The kinds of mail that the site sends on its own, and which of them a recipient can switch off.

A kind's texts are `templates/emails/<kind>-subject.txt` and `-body.txt`, and `-body.html` if it has one.
"""

from typing import NamedTuple

from accounts.models import Purpose


class Kind(NamedTuple):
    title: str
    # Optional mails can be switched off in the settings and end with the account; the others are always sent.
    optional: bool = False
    # Sent only while this personal consent is in force. It is given and withdrawn as a consent, not in the settings.
    purpose: str = ""
    # Off until the owner switches it on.
    starts_off: bool = False


KINDS = {
    # Always sent: without them an owner could not control what the cars do.
    "consent-reminder": Kind("A consent ends soon"),
    "notice-changed": Kind("The text of a consent has changed"),
    "consent-withdrawn-in-car": Kind("A consent was withdrawn in the car"),
    "vehicle-paired": Kind("A computer was connected to one of your cars"),
    "node-paused": Kind("The computer of one of your cars was paused"),
    "node-resumed": Kind("The computer of one of your cars may work again"),
    "node-ended": Kind("The computer of one of your cars was disconnected by us"),
    "vehicle-claim": Kind("Somebody says that they bought one of your cars"),
    "vehicle-released": Kind("One of your cars was released to its new owner"),
    "account-closed": Kind("Your account was closed"),
    "export-ready": Kind("Your data can be downloaded"),
    "erasure-scheduled": Kind("Your account will be erased"),
    "erasure-waits": Kind("Your account is erased once you have been paid"),
    "erasure-done": Kind("Your account was erased"),
    "statement-ready": Kind("A statement of what you earned"),
    "payout-sent": Kind("A payout is on its way"),
    "payout-bank-failed": Kind("Your bank did not take a payout"),
    "payout-account-ready": Kind("You can be paid now"),
    "payout-account-action": Kind("Stripe needs something before it pays you"),
    "payout-account-restricted": Kind("Stripe does not let us pay you"),
    # Always sent to the administrators and finance members of a customer: about its money.
    "recharge-paused": Kind("An automatic recharge failed and is paused"),
    "card-expiring": Kind("The card of the automatic recharge expires soon"),
    "balance-low": Kind("Little is left in the wallet"),
    "refund-sent": Kind("A refund was sent"),
    "refund-failed": Kind("A refund failed, and the money is back in the wallet"),
    "card-dispute-opened": Kind("A payment into the wallet is disputed"),
    "card-dispute-ended": Kind("A dispute of a payment into the wallet ended"),
    "dispute-message": Kind("We answered a dispute of yours"),
    "dispute-decided": Kind("A dispute of yours was decided"),
    "invoice-ready": Kind("An invoice is ready"),
    # Optional.
    "vehicle-away": Kind("A car has not contacted us for a day", optional=True),
    "rules-changed": Kind("The rules of one of your cars were changed", optional=True),
    "earnings-summary": Kind("What your cars earned, once a month", optional=True, starts_off=True),
    "news": Kind("News about Driveway", optional=True, purpose=Purpose.PRODUCT_EMAIL),
}
SETTABLE = {name: kind for name, kind in KINDS.items() if kind.optional and not kind.purpose}
OFF_BY_DEFAULT = [name for name, kind in KINDS.items() if kind.starts_off]
