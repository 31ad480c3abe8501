"""Labels of the movements that a customer sees in the wallet."""

# Kind of transfer -> (label when it adds money, label when it takes money).
MOVEMENT_LABELS = {
    "top_up": ("Top-up", "Top-up"),
    "hold": ("Held for a job", "Held for a job"),
    "release": ("Given back by a job", "Given back by a job"),
    "promo": ("Promotional credit", "Promotional credit"),
    "refund": ("Refund to where it was paid from", "Refund to where it was paid from"),
    "dispute": ("Disputed payment given back", "Disputed payment taken back"),
    "offset": ("Given back after a dispute was won", "Used for a disputed payment"),
    "correction": ("Charge given back", "Charge corrected"),
    "adjustment": ("Goodwill or correction by Driveway", "Correction by Driveway"),
    "write_off": ("Written off", "Written off"),
    "reversal": (
        "Given back: an earlier movement failed",
        "Taken back: an earlier movement failed",
    ),
}
