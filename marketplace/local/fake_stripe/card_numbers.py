"""Test numbers of Stripe's documentation that a person may type, and how the bank behind each one behaves."""

from marketplace.local.fake_stripe.problem_card_numbers import PROBLEM_NUMBERS

PAYS, ALSO_PAYS = "4242424242424242", "5555555555554444"
DECLINED = {
    "4000000000000002": ("generic_decline", "Your card was declined."),
    "4000000000009995": ("insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": ("expired_card", "Your card has expired."),
}
ASKS = ("4000002500003155", "4000000000003220")  # 3D Secure: the bank asks the cardholder to confirm
ASKS_ALWAYS = "4000002760003184"  # asks even for a saved card, when nobody is there to answer
ASKS_AND_IS_EMPTY = "4000008260003178"  # asks, and then has insufficient funds
SAVED_BUT_DECLINED = "4000000000000341"  # can be saved, and is declined whenever it is charged
BANK_DEBIT = "000123456789"  # pays or bounces later
KNOWN = (
    PAYS,
    ALSO_PAYS,
    BANK_DEBIT,
    *DECLINED,
    *ASKS,
    ASKS_ALWAYS,
    ASKS_AND_IS_EMPTY,
    SAVED_BUT_DECLINED,
    *PROBLEM_NUMBERS,
)
CONFIRMED_BY_HOLDER = (*ASKS, ASKS_ALWAYS, ASKS_AND_IS_EMPTY)

# Number -> decline (code, message). On session: while the customer is on the page, after the bank's question. Off
# session: while the customer is not there. All other numbers pay.
ON_SESSION = {
    **DECLINED,
    SAVED_BUT_DECLINED: DECLINED["4000000000000002"],
    ASKS_AND_IS_EMPTY: DECLINED["4000000000009995"],
}
AUTHENTICATE = ("authentication_required", "The bank asks the cardholder to confirm.")
OFF_SESSION = {**ON_SESSION, ASKS_ALWAYS: AUTHENTICATE, ASKS[1]: AUTHENTICATE}
