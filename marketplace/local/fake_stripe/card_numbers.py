"""Test numbers of Stripe's documentation that a person may type, and how the bank behind each one behaves."""

from marketplace.local.fake_stripe.problem_card_numbers import PROBLEM_NUMBERS

PAYS, ALSO_PAYS = "4242424242424242", "5555555555554444"
DECLINED = {
    "4000000000000002": ("generic_decline", "Your card was declined."),
    "4000000000009995": ("insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": ("expired_card", "Your card has expired."),
}
NEEDS_CONFIRMATION = ("4000002500003155", "4000000000003220")  # 3D Secure: the bank asks the cardholder to confirm
ALWAYS_NEEDS_CONFIRMATION = "4000002760003184"  # asks even for a saved card, when nobody is there to answer
CONFIRMED_WITHOUT_FUNDS = "4000008260003178"  # asks, and then has insufficient funds
SAVED_BUT_DECLINED = "4000000000000341"  # can be saved, and is declined whenever it is charged
BANK_DEBIT = "000123456789"  # pays or bounces later
KNOWN = (
    PAYS,
    ALSO_PAYS,
    BANK_DEBIT,
    *DECLINED,
    *NEEDS_CONFIRMATION,
    ALWAYS_NEEDS_CONFIRMATION,
    CONFIRMED_WITHOUT_FUNDS,
    SAVED_BUT_DECLINED,
    *PROBLEM_NUMBERS,
)
CONFIRMATION_NUMBERS = (*NEEDS_CONFIRMATION, ALWAYS_NEEDS_CONFIRMATION, CONFIRMED_WITHOUT_FUNDS)

# Number -> decline (code, message). On session: while the customer is on the page, after the bank's question. Off
# session: while the customer is not there. All other numbers pay.
ON_SESSION = {
    **DECLINED,
    SAVED_BUT_DECLINED: DECLINED["4000000000000002"],
    CONFIRMED_WITHOUT_FUNDS: DECLINED["4000000000009995"],
}
AUTHENTICATE = ("authentication_required", "The bank asks the cardholder to confirm.")
OFF_SESSION = {**ON_SESSION, ALWAYS_NEEDS_CONFIRMATION: AUTHENTICATE, NEEDS_CONFIRMATION[1]: AUTHENTICATE}
