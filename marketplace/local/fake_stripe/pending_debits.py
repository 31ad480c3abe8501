"""A part of the desk: charges of saved bank accounts that wait for the bank's answer."""

import re
from html import escape

from marketplace.local.fake_stripe.payments import Payments

SETTLE_PATH = re.compile(r"/c/charge/(pi_\w+)/settle")


def table(payments: Payments) -> str:
    """Return a table with a row and two buttons for each such charge, or "" if there is none."""
    rows = [
        f"<tr><td><code>{intent['id'][-12:]}</code></td>"
        f"<td>{intent['amount'] / 100:,.2f} {escape(intent['currency'].upper())}</td><td>processing</td><td>"
        f"{_button(intent['id'], 'yes', 'settle')}{_button(intent['id'], 'no', 'bounce')}</td></tr>"
        for intent in payments.store.newest("payment_intent")
        if intent["status"] == "processing" and not intent["_session"]
    ]
    if not rows:
        return ""
    return (
        '<h2>Charges of saved bank accounts</h2><div class="wide"><table><thead><tr><th>Payment</th><th>Amount</th>'
        f"<th>State</th><th>Action</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _button(intent_id: str, answer: str, label: str) -> str:
    return (
        f'<form method="post" action="/c/charge/{intent_id}/settle">'
        f'<button class="plain" name="answer" value="{answer}">{label}</button></form>'
    )
