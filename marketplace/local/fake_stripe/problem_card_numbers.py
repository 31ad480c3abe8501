"""Test numbers of Stripe's documentation whose payment succeeds and has a problem later."""

REFUND_PENDS = "4000000000007726"  # a refund is pending first, and succeeds later
REFUND_FAILS = "4000000000005126"  # a refund succeeds first, and fails later
DISPUTED = "4000000000000259"  # disputed as soon as it has paid
INQUIRED = "4000000000001976"  # the bank opens an inquiry as soon as it has paid
PROBLEM_NUMBERS = {
    DISPUTED: "pays, and is disputed at once",
    INQUIRED: "pays, and the bank asks about it at once",
    REFUND_PENDS: "pays; its refund takes a while",
    REFUND_FAILS: "pays; its refund fails after a while",
}
