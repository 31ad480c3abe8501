"""Check the pages of every actor in a real browser: a third on a phone; all of them in `make test-long`, there also on a
desktop and in the dark.

There must be no error in the console (a violation of the content security policy is one), nothing wider than the page,
and no finding of axe. A page that is not in the table fails the build. `SCREENSHOTS=folder` saves a picture of each.
"""

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from django.urls import get_resolver, reverse
from playwright.sync_api import ConsoleMessage, Error, Page, ViewportSize

from tests.browser.conftest import AXE, DESK, PHONE, Chromium
from tests.browser.world import World, arguments
from tests.long import IS_LONG
from tests.test_permissions import names_of

pytestmark = pytest.mark.django_db

# Actor -> names of URLs. Their arguments come from `arguments` of world.py.
PAGES = {
    "public": [
        "home",
        "api_docs",
        "consent_notice",
        "account_login",
        "account_signup",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
        "account_inactive",
        "account_email_verification_sent",
        "account_confirm_email",
        "receipt_verify",
        "unsubscribe",
        "erasure_cancel",
    ],
    "owner": [
        "vehicle_list",
        "vehicle_add",
        "vehicle_detail",
        "vehicle_activity",
        "vehicle_enrol",
        "consent_history",
        "owner_settings",
        "policy_edit",
        "consent_centre",
        "pair",
        "pair_confirm",
        "node_replace",
        "privacy",
        "erasure_request",
        "account_close",
        "vehicle_sold",
        "vehicle_claim",
        "account_email",
        "account_change_password",
        "account_logout",
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_list_webauthn",
        "mfa_add_webauthn",
        "payout_list",
        "payout_account",
        "earnings",
        "statement_list",
        "statement_detail",
        "earnings_tax",
        "dispute_open_statement",
    ],
    "guarded": [
        "mfa_index",
        "mfa_reauthenticate",
        "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_deactivate_totp",
    ],
    "customer": [
        "job_list",
        "job_detail",
        "api_keys",
        "wallet",
        "usage",
        "spend_cap",
        "billing_profile",
        "invoice_list",
        "invoice_detail",
        "top_up_pay",
        "top_up_done",
        "top_up_left",
        "auto_recharge",
        "saved_card_done",
        "refund_request",
        "dispute_open_order",
        "dispute_list",
        "dispute_detail",
    ],
    "operator": [
        "admin:index",
        "access_reason",
        "admin:accounts_vehicle_changelist",
        "admin:accounts_vehicle_change",
        "admin:billing_ledgeraccount_changelist",
        "admin:billing_ledgeraccount_change",
        "admin:billing_ledgertransfer_change",
        "admin:billing_ledgerdifference_change",
        "admin:billing_approval_add",
        "admin:billing_approval_change",
        "admin:billing_dispute_change",
        "admin:billing_topup_changelist",
        "admin:billing_payout_change",
        "admin:compute_meterconflict_change",
    ],
}
ROWS = [(actor, name) for actor, names in PAGES.items() for name in names]
VISITED = ROWS if IS_LONG else ROWS[::3]

# Names of URLs that are not pages, and why.
NO_PAGE = {
    "healthz": "JSON",
    "erasure_proof": "JSON",
    "schema": "YAML",
    "statement_keys": "JSON",
    "statement_package": "a file",
    "statement_pdf": "a file",
    "earnings_tax_csv": "a file",
    "dashboard": "a redirect",
    "job_result": "a file",
    "invoice_pdf": "a file",
    "usage_csv": "a file",
    "top_up_receipt": "a file",
    "refund_receipt": "a file",
    "receipt": "a file",
    "receipt_list": "a file",
    "export_download": "a file",
    "payout_account_start": "POST",
    "payout_account_return": "a redirect",
    "payout_account_refresh": "a redirect",
    "payout_dashboard": "POST",
    "payout_final": "POST",
    "policy_pause": "POST",
    "top_up_start": "POST",
    "stripe_webhook": "POST",
    "consent_decide_personal": "POST",
    "region_choose": "POST",
    "export_request": "POST",
    "saved_card_add": "POST",
    "saved_card_default": "POST",
    "saved_card_remove": "POST",
    "account_reopen": "POST",
    "access_reason_end": "POST",
    "mfa_download_recovery_codes": "a file",
    "consent_decide": "POST",
    "consent_withdraw_all": "POST",
    "api_key_create": "POST",
    "api_key_revoke": "POST",
    "account_confirm_login_code": "sign-in by code is off",
    "account_request_reauthentication_code": "codes by mail are off",
    "account_confirm_reauthentication_code": "codes by mail are off",
    "account_set_password": "everybody has a password",
    "mfa_authenticate": "a step of signing in",
    "mfa_reauthenticate_webauthn": "needs a security key",
    "mfa_remove_webauthn": "needs a security key",
    "mfa_edit_webauthn": "needs a security key",
}
NO_PAGES = ("api_", "node_")  # names of URLs for programs begin so
BUT = {"api_docs", "api_keys", "node_replace"}  # pages although their names begin so

Scheme = Literal["dark", "light"]
Look = tuple[ViewportSize, Scheme, dict[str, Any]]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
ALL_RULES = {"runOnly": {"type": "tag", "values": RULES}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
STRUCTURE = {**ALL_RULES, "rules": {"color-contrast": {"enabled": False}}}
# Rules that depend on the layout. All others depend only on which elements are shown, and on their texts.
LAYOUT = {"runOnly": {"type": "rule", "values": ["scrollable-region-focusable", "link-in-text-block"]}}
LIGHT: list[Look] = [(PHONE, "light", ALL_RULES), (DESK, "light", STRUCTURE)]
DARK: list[Look] = [(DESK, "dark", COLOURS), (PHONE, "dark", COLOURS)]
LOOKS = [*LIGHT, *DARK] if IS_LONG else LIGHT[:1]
CHECK = """async ({ size, scheme, rules, shown, same }) => {
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  do await drawn(); while (innerWidth !== size.width || !matchMedia(`(prefers-color-scheme: ${scheme})`).matches);
  // The end of an animation may begin another one: an inherited colour changes after its parent's.
  for (let on; (on = document.getAnimations().filter((at) => at.playState === "running")).length; await drawn())
    await Promise.allSettled(on.map((animation) => animation.finished));
  const { scrollWidth, clientWidth } = document.documentElement;
  const wrong = scrollWidth > clientWidth ? [`${scrollWidth} px wide`] : [];
  const isShown = (element) => +element.checkVisibility({ visibilityProperty: true });
  const now = [...document.querySelectorAll("*")].map(isShown).join("");
  const options = { ...(now === shown ? same : rules), resultTypes: ["violations"], preload: false };
  const { violations } = await axe.run(document, options);
  for (const { id, nodes } of violations)
    wrong.push(`${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 4).join(" | ")}`);
  return [now, wrong];
}"""


@pytest.mark.parametrize(("actor", "name"), VISITED, ids=[f"{actor} {name}" for actor, name in VISITED])
def test_every_page(chromium: Chromium, world: World, actor: str, name: str) -> None:
    address = world.url + reverse(name, args=arguments(world).get(name, ()))
    assert chromium.do(_visit, chromium, world, actor, address, f"{actor}-{name.replace(':', '-')}") == []


def _visit(chromium: Chromium, world: World, actor: str, address: str, title: str) -> list[str]:
    """Return what is wrong with the page."""
    page = chromium.page(actor, world.url, world.cookies[actor])
    wrong: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(f"console: {message.text}")

    def on_error(error: Error) -> None:
        wrong.append(f"script: {error}")

    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=LOOKS[0][1])
    page.on("console", on_console)
    page.on("pageerror", on_error)
    answer = page.goto(address)
    if answer is None or answer.status != 200 or answer.url != address:
        wrong.append(f"answered {answer.status if answer else None} at {answer.url if answer else address}")
    page.remove_listener("console", on_console)  # axe itself tries styles that the policy refuses
    page.remove_listener("pageerror", on_error)
    page.evaluate(AXE)
    shown = ""
    for size, scheme, rules in LOOKS:
        shown, findings = _look(page, size, scheme, rules, shown)
        wrong += [f"{size['width']} px, {scheme}: {finding}" for finding in findings]
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{title}-{size['width']}-{scheme}.png", full_page=True)
    return wrong


def _look(page: Page, size: ViewportSize, scheme: Scheme, rules: dict[str, Any], shown: str) -> tuple[str, list[str]]:
    """Return which elements are shown, and what is wrong.

    Contrast depends on the colour scheme: the long run checks it in both. Structure depends on which elements are
    shown: it is checked again at the other width only if other elements are shown there, otherwise only the layout
    rules are.
    """
    if page.viewport_size != size:
        page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    same = LAYOUT if rules is STRUCTURE else rules
    shown, wrong = page.evaluate(CHECK, {"size": size, "scheme": scheme, "rules": rules, "shown": shown, "same": same})
    return shown, wrong


def test_every_page_is_in_the_table() -> None:
    names = {name for name, _ in names_of(get_resolver().url_patterns)}
    for_programs = {name for name in names if name.startswith(NO_PAGES) and name not in BUT}
    listed = {name for _, name in ROWS if not name.startswith("admin:")}
    assert names - for_programs - set(NO_PAGE) == listed
    assert not listed & set(NO_PAGE)
