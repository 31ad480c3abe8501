"""Pages for payees: onboarding, the Express dashboard, and a desk on which a tester triggers later events."""

import re
from html import escape
from typing import Any

from marketplace.local.fake_stripe.api import FakeStripe
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.pages import FRAME, Page
from marketplace.local.fake_stripe.payee_objects import LINK_LASTS_S
from marketplace.local.fake_stripe.payees import BANK_PAYS, BANK_REFUSES, Payees
from marketplace.local.fake_stripe.styles import STYLE

PATHS = ("/setup/", "/express/", "/payees")
BANKS = [(BANK_PAYS, "takes payouts"), (BANK_REFUSES, "refuses payouts")]
OUTCOMES = [
    ("ready", "is satisfied at once"),
    ("pending", "checks for a while, until you end it on the fake’s desk"),
    ("more", "asks for a readable document"),
    ("restricted", "refuses you as a payee"),
]
# Outcome of payees.OUTCOMES -> label of its button.
DESK = [("ready", "make ready"), ("soon", "ask by a date"), ("more", "ask for more"), ("restricted", "restrict")]


class PayeePages:
    """Serves the pages of this module, rendered on the server and without scripts. Every change is a POST."""

    def __init__(self, fake: FakeStripe) -> None:
        self.fake, self.payees = fake, Payees(fake.emitter)

    def show(self, method: str, path: str, form: dict[str, str]) -> Page:
        """Return the page for a request."""
        with self.fake.lock:
            if match := re.fullmatch(r"/setup/(link_fake\w+)", path):
                return self._setup(match.group(1), method, form)
            if match := re.fullmatch(r"/express/(acct_\w+)/\w+", path):
                return self._express(match.group(1))
            if match := re.fullmatch(r"/payees/(acct_\w+)/(\w+)", path):
                return self._act(match.group(1), match.group(2), method)
            if path == "/payees":
                return self._desk()
            return _page("Not found", "<h1>This page does not exist.</h1>", 404)

    def _setup(self, token: str, method: str, form: dict[str, str]) -> Page:
        link = self.fake.store.get(token, "fake.link")
        if link is None:
            return _page("Not found", "<h1>This page does not exist.</h1>", 404)
        if link["used"] or self.fake.emitter.now() > link["created"] + LINK_LASTS_S:
            return _redirect(link["refresh_url"])
        if method == "GET":
            return self._form(link)
        try:
            self.payees.onboard(
                link["account"], name=form.get("name", ""), bank=form.get("bank", ""), outcome=form.get("outcome", "")
            )
        except ApiError as error:
            return self._form(link, error.body["error"]["message"])
        self.fake.store.put({**link, "used": True})
        return _redirect(link["return_url"])

    def _form(self, link: Object, problem: str = "") -> Page:
        account = self.payees.account(link["account"])
        alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
        name = escape(account["_name"] or account["display_name"])
        return _page(
            "Where you are paid",
            f"""<h1>Who are you, and where shall we send your money?</h1>
<p>In {escape(account["identity"]["country"].upper())}. The real page asks for your birth date, address and documents;
this one believes you.</p>{alert}<form method="post" action="/setup/{link["id"]}">
<label>Your name <input name="name" value="{name}" autocomplete="name"></label>
<fieldset><legend>A bank account that</legend>{_choices("bank", BANKS, account["_bank"] or BANK_PAYS)}</fieldset>
<fieldset><legend>And Stripe</legend>{_choices("outcome", OUTCOMES, "ready")}</fieldset>
<button>Save</button></form><p><a href="{escape(link["return_url"])}">Go back without finishing</a></p>""",
        )

    def _express(self, account_id: str) -> Page:
        account = self.payees.account(account_id)
        rows = "".join(
            f"<tr><td>{_money(row['amount'], row['currency'])}</td><td>{row['status']}</td></tr>"
            for row in self.fake.store.newest("payout")
            if row["_account"] == account_id
        )
        return _page(
            "Express",
            f"""<h1>{escape(account["_name"] or "Your account")}</h1>
<p>In your account: {_balance(account)}. Bank account ending in {escape(account["_bank"][-4:] or "–")}.</p>
<div class="wide"><table><thead><tr><th>To your bank</th><th>State</th></tr></thead>
<tbody>{rows or '<tr><td colspan="2">Nothing yet.</td></tr>'}</tbody></table></div>""",
        )

    def _desk(self) -> Page:
        rows = "".join(f"<tr>{_desk_row(row)}</tr>" for row in self.fake.store.newest("v2.core.account"))
        return _page(
            "Payees",
            f"""<h1>Payees</h1><p>Trigger here what would otherwise happen in time. <a href="/">Payments</a></p>
<div class="wide"><table><thead><tr><th>Account</th><th>State</th><th>Balance</th><th>Action</th></tr></thead>
<tbody>{rows or '<tr><td colspan="4">No account yet.</td></tr>'}</tbody></table></div>""",
        )

    def _act(self, account_id: str, action: str, method: str) -> Page:
        if method != "POST":
            return _page("Not found", "<h1>This page does not exist.</h1>", 404)
        try:
            if action == "bank":
                self.payees.pay_bank(account_id)
            elif action in dict(DESK):
                self.payees.decide(account_id, action)
            else:
                raise ApiError(404, "This action does not exist.")
        except ApiError as error:
            return _page("Not possible", f"<h1>{escape(error.body['error']['message'])}</h1>", error.status)
        return _redirect("/payees")


def _desk_row(row: Object) -> str:
    actions = "".join(_button(row["id"], action, label) for action, label in [*DESK, ("bank", "pay its bank")])
    status = row["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]["status"]
    name = escape(row["_name"] or row["display_name"])
    return (
        f"<td>{name}<br><code>{row['id'][-12:]}</code></td><td>{status}</td><td>{_balance(row)}</td><td>{actions}</td>"
    )


def _button(account_id: str, action: str, label: str) -> str:
    return f'<form method="post" action="/payees/{account_id}/{action}"><button class="plain">{label}</button></form>'


def _choices(name: str, options: list[tuple[str, str]], chosen: str) -> str:
    return "".join(
        f'<label class="choice"><input type="radio" name="{name}" value="{value}"{" checked" * (value == chosen)}>'
        f" <span>{f'<code>{value}</code> ' if value.isdigit() else ''}{escape(text)}</span></label>"
        for value, text in options
    )


def _balance(account: Object) -> str:
    return ", ".join(_money(amount, currency) for currency, amount in account["_balance"].items()) or "nothing"


def _money(amount: Any, currency: str) -> str:
    return f"{amount / 100:,.2f} {escape(currency.upper())}"


def _page(title: str, content: str, status: int = 200) -> Page:
    return Page(status, FRAME.substitute(title=escape(title), style=STYLE, content=content))


def _redirect(url: str) -> Page:
    return Page(303, "", {"Location": url})
