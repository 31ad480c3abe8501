"""The desk: a page on which a tester triggers what would otherwise happen in time.

Without scripts; changes are POSTs.
"""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.disputes import Disputes
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.refunds import Refunds

SHOWN = 50  # objects of each kind on the desk
Step = Callable[[str], Any]


class Desk:
    """Serves the desk: `/` shows it, `/desk/<step>/<id>` carries out a step."""

    def __init__(self, fake: FakeStripe) -> None:
        self.fake, self.store = fake, fake.store
        self.refunds = next(part for part in fake.sections if isinstance(part, Refunds))
        self.disputes = next(part for part in fake.sections if isinstance(part, Disputes))
        self.steps: Mapping[str, Step] = {
            "dispute": self.disputes.open,
            "inquire": lambda charge_id: self.disputes.open(charge_id, inquiry=True),
            "refund-succeeds": self.refunds.succeed,
            "refund-fails": self.refunds.fail,
            "won": lambda dispute_id: self.disputes.decide(dispute_id, won=True),
            "lost": lambda dispute_id: self.disputes.decide(dispute_id, won=False),
            "closed": self.disputes.close_inquiry,
            "taken": self.disputes.escalate,
            "asks-again": self.disputes.ask_again,
        }

    def act(self, step: str, object_id: str) -> str:
        """Carry out a step. Return "" or the reason why it is not possible. Raises KeyError for an unknown step."""
        try:
            self.steps[step](object_id)
        except ApiError as error:
            return str(error.body["error"]["message"])
        return ""

    def show(self, sessions: str, problem: str) -> str:
        """Return the content of the page. `sessions` are table rows of the Checkout sessions."""
        alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
        return f"""<h1>The fake's desk</h1><p>Trigger here what would otherwise happen in time.</p>{alert}
{_table("Checkout sessions", ("Session", "Amount", "State"), sessions)}
{_table("Payments", ("Charge", "Amount", "State"), self._rows("charge", self._of_charge))}
{_table("Refunds", ("Refund", "Amount", "State"), self._rows("refund", self._of_refund))}
{_table("Disputes", ("Dispute", "Amount", "State"), self._rows("dispute", self._of_dispute))}"""

    def _rows(self, kind: str, row_of: Callable[[Object], tuple[str, Iterable[tuple[str, str]]]]) -> str:
        shown = [(item, row_of(item)) for item, _ in zip(self.store.newest(kind), range(SHOWN), strict=False)]
        return "".join(row(item, state, steps) for item, (state, steps) in shown)

    def _of_charge(self, charge: Object) -> tuple[str, Iterable[tuple[str, str]]]:
        refunded = (
            f", {money(charge['amount_refunded'], charge['currency'])} refunded" if charge["amount_refunded"] else ""
        )
        disputed = ", disputed" if charge["disputed"] else ""
        can_be_disputed = charge["paid"] and not charge["disputed"]
        steps = [("dispute", "dispute it"), ("inquire", "let the bank ask")] if can_be_disputed else []
        return f"{charge['status']}{refunded}{disputed}", steps

    def _of_refund(self, refund: Object) -> tuple[str, Iterable[tuple[str, str]]]:
        succeeds, fails = ("refund-succeeds", "succeed"), ("refund-fails", "fail")
        steps = {"pending": [succeeds, fails], "succeeded": [fails]}.get(refund["status"], [])
        return refund["status"], steps

    def _of_dispute(self, dispute: Object) -> tuple[str, Iterable[tuple[str, str]]]:
        inquiry_steps = [("closed", "inquiry closed"), ("taken", "take the money")]
        decisions = [("won", "won"), ("lost", "lost")]
        steps = {
            "warning_needs_response": inquiry_steps,
            "warning_under_review": inquiry_steps,
            "needs_response": decisions,
            "under_review": [*decisions, ("asks-again", "ask again")],
            "lost": [("won", "won after all")],
        }.get(dispute["status"], [])
        text = dispute["evidence"]["uncategorized_text"]
        return dispute["status"].replace("_", " ") + (", with evidence" if text else ""), steps


def row(item: Object, state: str, steps: Iterable[tuple[str, str]]) -> str:
    """Return a table row for an object, with a button for each step."""
    buttons = "".join(
        f'<form method="post" action="/desk/{step}/{item["id"]}"><button class="plain">{escape(label)}</button></form>'
        for step, label in steps
    )
    amount = money(item["amount"], item["currency"])
    return (
        f"<tr><td><code>{item['id'][-12:]}</code></td><td>{amount}</td><td>{escape(state)}</td><td>{buttons}</td></tr>"
    )


def money(minor: int, currency: str) -> str:
    """Return an amount in minor units as text: "50.00 USD"."""
    return f"{minor / 100:,.2f} {escape(currency.upper())}"


def _table(title: str, heads: Iterable[str], rows: str) -> str:
    columns = "".join(f'<th scope="col">{head}</th>' for head in (*heads, "Action"))
    body = rows or '<tr><td colspan="4">None yet.</td></tr>'
    return (
        f'<section><h2>{title}</h2><div class="wide" tabindex="0" role="region" aria-label="{title}">'
        f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )
