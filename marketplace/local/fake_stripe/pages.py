"""The pages that a person clicks through: hosted Checkout and the bank's question; and the desk for testers."""

import re
from dataclasses import dataclass, field
from html import escape
from string import Template
from typing import Any

from marketplace.local.fake_stripe import pending_debits
from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.card_numbers import (
    ALSO_PAYS,
    ALWAYS_NEEDS_CONFIRMATION,
    BANK_DEBIT,
    CONFIRMED_WITHOUT_FUNDS,
    DECLINED,
    NEEDS_CONFIRMATION,
    PAYS,
    SAVED_BUT_DECLINED,
)
from marketplace.local.fake_stripe.desk import Desk
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.problem_card_numbers import PROBLEM_NUMBERS
from marketplace.local.fake_stripe.setups import Setups
from marketplace.local.fake_stripe.styles import STYLE

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
FRAME = Template("""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>$title · Fake Stripe</title>
<style>$style</style></head><body><p class="banner">Fake Stripe: a test page. No card is charged, no money moves.</p>
<main>$content</main></body></html>""")
NUMBERS = [
    (PAYS, "pays"),
    (next(iter(DECLINED)), "is declined"),
    ("4000000000009995", "has insufficient funds"),
    (NEEDS_CONFIRMATION[0], "asks your bank first (3D Secure)"),
    (BANK_DEBIT, "is a bank account: you settle the debit later, on the fake's desk"),
    *PROBLEM_NUMBERS.items(),
]
# For a saved card the labels also say what happens when it is charged while the customer is not there.
SAVED_NUMBERS = [
    (PAYS, "always pays"),
    (ALSO_PAYS, "always pays: a second card"),
    (NEEDS_CONFIRMATION[0], "asks your bank now, and pays later"),
    (ALWAYS_NEEDS_CONFIRMATION, "asks your bank now, and whenever it is charged"),
    (CONFIRMED_WITHOUT_FUNDS, "asks your bank now, and has insufficient funds later"),
    (SAVED_BUT_DECLINED, "can be saved, and is declined later"),
    (next(iter(DECLINED)), "is declined now"),
    (BANK_DEBIT, "is a bank account: you settle the debit later, on the fake's desk"),
]


@dataclass(frozen=True)
class Page:
    """An HTTP response."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))


class Pages:
    """Serves the pages of this module, rendered on the server and without scripts. Every change is a POST."""

    def __init__(self, fake: FakeStripe) -> None:
        self.fake, self.payments, self.setups = fake, fake.payments, Setups(fake.payments)
        self.desk = Desk(fake)

    def show(self, method: str, path: str, form: dict[str, str]) -> Page:
        """Return the page for a request."""
        with self.fake.lock:
            self.payments.expire_old()
            if path == "/" and method == "GET":
                return self._desk()
            if method == "POST" and (settle := pending_debits.SETTLE_PATH.fullmatch(path)):
                return self._settle_charge(settle.group(1), paid=form.get("answer") == "yes")
            desk_step = re.fullmatch(r"/desk/([\w-]+)/(\w+)", path)
            if desk_step and method == "POST" and desk_step[1] in self.desk.steps:
                problem = self.desk.act(desk_step[1], desk_step[2])
                return self._desk(problem) if problem else _redirect("/")
            match = re.fullmatch(r"/c/pay/(cs_test_\w+)(/\w+)?", path)
            session = self.fake.store.get(match.group(1), "checkout.session") if match else None
            if match is None or session is None:
                return _page("Not found", "<h1>This page does not exist.</h1>", 404)
            step = (match.group(2) or "").removeprefix("/")
            if method == "GET":
                return self._pay(session)
            return self._act(session, step, form)

    def _settle_charge(self, intent_id: str, *, paid: bool) -> Page:
        try:
            self.payments.settle_payment(intent_id, paid=paid)
        except ApiError as error:
            return _page("Not possible", f"<h1>{escape(error.body['error']['message'])}</h1>", 410)
        return _redirect("/")

    def _act(self, session: Object, step: str, form: dict[str, str]) -> Page:
        session_id = session["id"]
        try:
            if step == "bank":
                outcome = self._handler(session).answer_bank(session_id, passed=form.get("answer") == "yes")
            elif step == "expire":
                self.payments.expire(session_id)
                return _redirect("/")
            elif step == "settle":
                self.payments.settle(session_id, paid=form.get("answer") == "yes")
                return _redirect("/")
            elif session["mode"] == "setup":
                outcome = self.setups.save(session_id, form.get("number", ""))
            else:
                outcome = self.payments.pay(session_id, form.get("number", ""))
        except ApiError as error:
            return self._pay(session, error.body["error"]["message"])
        if outcome == "asks":
            return self._bank(session)
        if outcome in ("paid", "processing", "saved"):
            return _redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session_id))
        current = self.payments.open_session(session_id)
        intent = self.fake.store.get(current["payment_intent"] or current["setup_intent"]) or {}
        refusal = intent.get("last_payment_error") or intent["last_setup_error"]
        return self._pay(session, refusal["message"])

    def _handler(self, session: Object) -> Any:
        return self.setups if session["mode"] == "setup" else self.payments

    def _pay(self, session: Object, problem: str = "") -> Page:
        if session["status"] != "open":
            return _page(
                "Closed", f"<h1>This payment page is closed.</h1><p>Its state is: {escape(session['status'])}.</p>", 410
            )
        is_setup = session["mode"] == "setup"
        choices = "".join(
            f'<label class="choice"><input type="radio" name="number" value="{number}"{" checked" * (number == PAYS)}>'
            f" <span><code>{_spaced(number)}</code> {escape(what)}</span></label>"
            for number, what in (SAVED_NUMBERS if is_setup or session["_future_usage"] else NUMBERS)
        )
        alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
        cancel_url = session["cancel_url"]
        cancel_link = (
            f'<p><a href="{escape(cancel_url)}">Go back without {"saving" if is_setup else "paying"}</a></p>'
            if cancel_url
            else ""
        )
        saving_note = "<p>The card is kept for later payments.</p>" if is_setup or session["_future_usage"] else ""
        amount = "" if is_setup else f'<p class="amount">{_amount(session)}</p>'
        return _page(
            "Save a card" if is_setup else "Pay",
            f"""<h1>{escape(session["_name"])}</h1>{amount}{saving_note}{alert}
<form method="post" action="/c/pay/{session["id"]}">
<fieldset><legend>{"Save" if is_setup else "Pay with"} a card that</legend>{choices}</fieldset>
<button>{"Save the card" if is_setup else f"Pay {_amount(session)}"}</button></form>{cancel_link}""",
        )

    def _bank(self, session: Object) -> Page:
        return _page(
            "Your bank",
            f"""<h1>Your bank asks: is it you?</h1><p>{_bank_question(session)}</p>
<form method="post" action="/c/pay/{session["id"]}/bank"><button name="answer" value="yes">Yes, it is me</button>
<button class="plain" name="answer" value="no">No</button></form>""",
        )

    def _desk(self, problem: str = "") -> Page:
        """Return the desk: every session, payment, refund and dispute, each with buttons for its next steps."""
        rows = "".join(f"<tr>{self._desk_row(row)}</tr>" for row in self.fake.store.newest("checkout.session"))
        return _page(
            "Desk", self.desk.show(rows, problem) + pending_debits.table(self.payments), 409 if problem else 200
        )

    def _desk_row(self, session: Object) -> str:
        intent: dict[str, Any] = self.fake.store.get(str(session["payment_intent"])) or {}
        actions = ""
        if session["status"] == "open":
            actions = _button(session, "expire", "", "expire")
        elif intent.get("status") == "processing":
            actions = _button(session, "settle", "yes", "settle") + _button(session, "settle", "no", "bounce")
        state = f"{session['status']}, {session['payment_status']}"
        return (
            f"<td><code>{session['id'][-12:]}</code></td><td>{_amount(session)}</td><td>{state}</td><td>{actions}</td>"
        )


def _button(session: Object, step: str, answer: str, label: str) -> str:
    return (
        f'<form method="post" action="/c/pay/{session["id"]}/{step}">'
        f'<button class="plain" name="answer" value="{answer}">{label}</button></form>'
    )


def _page(title: str, content: str, status: int = 200) -> Page:
    return Page(status, FRAME.substitute(title=escape(title), style=STYLE, content=content))


def _redirect(url: str) -> Page:
    return Page(303, "", {"Location": url})


def _bank_question(session: Object) -> str:
    """Return what the bank asks the cardholder to approve."""
    if session["mode"] == "setup":
        return "A shop wants to keep your card for later payments."
    return f"{_amount(session)} for {escape(session['_name'])}."


def _amount(session: Object) -> str:
    if session["amount_total"] is None:
        return "A card"
    return f"{session['amount_total'] / 100:,.2f} {escape(session['currency'].upper())}"


def _spaced(number: str) -> str:
    return " ".join(re.findall(".{1,4}", number))
