"""Numbers that a person may type, and what the bank behind each does: the test numbers of Stripe's documentation."""

from marketplace.local.fake_stripe.late_numbers import LATE

PAYS, ALSO_PAYS = "4242424242424242", "5555555555554444"
DECLINED = {
    "4000000000000002": ("generic_decline", "Your card was declined."),
    "4000000000009995": ("insufficient_funds", "Your card has insufficient funds."),
    "4000000000000069": ("expired_card", "Your card has expired."),
}
ASKS = ("4000002500003155", "4000000000003220")  # 3D Secure: the bank wants to know that it is you
ASKS_ALWAYS = "4000002760003184"  # also when the card was saved: nobody is there to answer
ASKS_AND_IS_EMPTY = "4000008260003178"
SAVED_BUT_DECLINED = "4000000000000341"  # can be saved, and is refused whenever it is charged
BANK_DEBIT = "000123456789"  # pays or bounces later
KNOWN = (PAYS, ALSO_PAYS, BANK_DEBIT, *DECLINED, *ASKS, ASKS_ALWAYS, ASKS_AND_IS_EMPTY, SAVED_BUT_DECLINED, *LATE)
QUESTIONS = (*ASKS, ASKS_ALWAYS, ASKS_AND_IS_EMPTY)

# What comes of a charge: while the customer is on the page (after the bank's question, if it asks), and while nobody is there.
ON_SESSION = {
    **DECLINED,
    SAVED_BUT_DECLINED: DECLINED["4000000000000002"],
    ASKS_AND_IS_EMPTY: DECLINED["4000000000009995"],
}
AUTHENTICATE = ("authentication_required", "The bank wants to know that it is you.")
OFF_SESSION = {**ON_SESSION, ASKS_ALWAYS: AUTHENTICATE, ASKS[1]: AUTHENTICATE}
