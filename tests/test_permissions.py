"""Who may do what: every URL of the site against every actor, in one table. A URL that is not in it fails the build.

The objects belong to alice (her vehicle, its node and that node's lease) and to acme (its keys, model, file and job).
All actors send the same, valid request. An actor without a right to an object gets 404, as if the object did not exist.
"""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db import transaction
from django.test import Client, override_settings
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import get_resolver, reverse
from django.utils import timezone

from accounts.api_keys import keys as api_keys
from accounts.consents import unsubscribes
from accounts.models import ConsentRecord, ErasureRequest, Scope, User
from accounts.owners import erasures, exports, registration
from accounts.receipts import service as receipts
from billing.models import CardTopUp
from compute import protocol
from compute.nodes import nodes
from marketplace.privacy import archive
from tests import factories, leftovers
from tests.compute.api.test_files import ROWS as ARRAY
from tests.compute.api.test_files import npy
from tests.database import unguarded

pytestmark = pytest.mark.django_db

# anon     not identified: no cookie, no key, no signature
# alice    the owner of the vehicle; bob owns another vehicle
# acme     the customer to whom the job belongs; globex is another customer; opal is staff
# key      a valid API key of acme; gkey: of globex; scope: of acme, without the needed scope; dead: of acme, revoked
# node     signed by alice's node; node2: by another enrolled node; forged: in the name of alice's node, by another key
# "in" is a redirect to the sign-in page, ">x" a redirect to a path that begins with /x.
TABLE = """
method url                    anon  alice      bob  acme   globex opal        key  gkey scope dead  node node2 forged
GET    home                   200   200        200  200    200    200         200  200  200   200   200  200   200
GET    healthz                200   200        200  200    200    200         200  200  200   200   200  200   200
GET    consent_notice         200   200        200  200    200    200         200  200  200   200   200  200   200
GET    receipt_verify         200   200        200  200    200    200         200  200  200   200   200  200   200
POST   receipt_verify         200   200        200  200    200    200         200  200  200   200   200  200   200
GET    unsubscribe            200   200        200  200    200    200         200  200  200   200   200  200   200
POST   unsubscribe            200   200        200  200    200    200         200  200  200   200   200  200   200
GET    schema                 200   200        200  200    200    200         200  200  200   200   200  200   200
GET    api_docs               200   200        200  200    200    200         200  200  200   200   200  200   200
GET    statement_keys         200   200        200  200    200    200         200  200  200   200   200  200   200

GET    dashboard              in    >vehicles  >vehicles >jobs >jobs >operations in in in in in in in
GET    vehicle_list           in    200        200  404    404    404         in   in   in    in    in   in    in
GET    vehicle_add            in    200        200  404    404    404         in   in   in    in    in   in    in
GET    vehicle_detail         in    200        404  404    404    404         in   in   in    in    in   in    in
GET    vehicle_activity       in    200        404  404    404    404         in   in   in    in    in   in    in
GET    owner_settings         in    200        200  404    404    404         in   in   in    in    in   in    in
POST   owner_settings         in    >settings  >settings 404 404  404         in   in   in    in    in   in    in
POST   vehicle_add            in    >vehicles  >vehicles 404 404 404          in   in   in    in    in   in    in
GET    vehicle_enrol          in    200        404  404    404    404         in   in   in    in    in   in    in
GET    policy_edit            in    200        404  404    404    404         in   in   in    in    in   in    in
POST   policy_edit            in    >vehicles  404  404    404    404         in   in   in    in    in   in    in
POST   policy_pause           in    >vehicles  404  404    404    404         in   in   in    in    in   in    in
GET    consent_centre         in    200        200  404    404    404         in   in   in    in    in   in    in
POST   consent_decide         in    >consents  404  404    404    404         in   in   in    in    in   in    in
POST   consent_decide_personal in   >consents  >consents 404 404  404         in   in   in    in    in   in    in
POST   region_choose          in    403        404  404    404    404         in   in   in    in    in   in    in
GET    receipt                in    200        404  404    404    404         in   in   in    in    in   in    in
GET    receipt_list           in    200        200  404    404    404         in   in   in    in    in   in    in
GET    consent_history        in    200        404  404    404    404         in   in   in    in    in   in    in
POST   consent_withdraw_all   in    >vehicles  >vehicles 404 404  404         in   in   in    in    in   in    in

GET    pair                   in    200        200  404    404    404         in   in   in    in    in   in    in
POST   pair                   in    >pair      >pair 404   404    404         in   in   in    in    in   in    in
GET    pair_confirm           in    200        200  404    404    404         in   in   in    in    in   in    in
POST   pair_confirm           in    >vehicles  400  404    404    404         in   in   in    in    in   in    in
GET    node_replace           in    200        404  404    404    404         in   in   in    in    in   in    in
POST   node_replace           in    >vehicles  404  404    404    404         in   in   in    in    in   in    in
GET    privacy                in    200        200  404    404    404         in   in   in    in    in   in    in
POST   export_request         in    >privacy   >privacy 404 404   404         in   in   in    in    in   in    in
GET    export_download        in    200        404  404    404    404         in   in   in    in    in   in    in
GET    erasure_request        in    200        200  404    404    404         in   in   in    in    in   in    in
POST   erasure_request        in    >accounts  >accounts 404 404  404         in   in   in    in    in   in    in
GET    erasure_cancel         200   200        200  200    200    200         200  200  200   200   200  200   200
POST   erasure_cancel         in    >privacy   >privacy >privacy >privacy >privacy in in in   in    in   in    in
GET    erasure_proof          200   200        200  200    200    200         200  200  200   200   200  200   200
GET    account_close          in    200        200  404    404    404         in   in   in    in    in   in    in
POST   account_close          in    >privacy   >privacy 404 404   404         in   in   in    in    in   in    in
POST   account_reopen         in    >privacy   >privacy 404 404   404         in   in   in    in    in   in    in
GET    vehicle_sold           in    200        404  404    404    404         in   in   in    in    in   in    in
POST   vehicle_sold           in    >vehicles  404  404    404    404         in   in   in    in    in   in    in
GET    vehicle_claim          in    200        200  404    404    404         in   in   in    in    in   in    in
POST   vehicle_claim          in    >vehicles  >vehicles 404 404  404         in   in   in    in    in   in    in
GET    access_reason          in    404        404  404    404    200         in   in   in    in    in   in    in
POST   access_reason          in    404        404  404    404    >operations in   in   in    in    in   in    in
POST   access_reason_end      in    404        404  404    404    >operations in   in   in    in    in   in    in
GET    statement_package      in    200        404  404    404    404         in   in   in    in    in   in    in
GET    earnings               in    200        200  404    404    404         in   in   in    in    in   in    in
GET    earnings_tax           in    200        200  404    404    404         in   in   in    in    in   in    in
GET    earnings_tax_csv       in    200        200  404    404    404         in   in   in    in    in   in    in
GET    statement_list         in    200        200  404    404    404         in   in   in    in    in   in    in
GET    statement_detail       in    200        404  404    404    404         in   in   in    in    in   in    in
GET    statement_pdf          in    200        404  404    404    404         in   in   in    in    in   in    in

GET    job_list               in    404        404  200    200    404         in   in   in    in    in   in    in
GET    job_detail             in    404        404  200    404    404         in   in   in    in    in   in    in
GET    job_result             in    404        404  200    404    404         in   in   in    in    in   in    in
GET    dispute_open_order     in    404        404  200    404    404         in   in   in    in    in   in    in
POST   dispute_open_order     in    404        404  >disputes 404 404         in   in   in    in    in   in    in
GET    dispute_open_statement in    200        404  404    404    404         in   in   in    in    in   in    in
POST   dispute_open_statement in    >disputes  404  404    404    404         in   in   in    in    in   in    in
GET    dispute_list           in    200        200  200    200    404         in   in   in    in    in   in    in
GET    dispute_detail         in    404        404  200    404    404         in   in   in    in    in   in    in
POST   dispute_detail         in    404        404  >disputes 404 404         in   in   in    in    in   in    in
GET    wallet                 in    404        404  200    200    404         in   in   in    in    in   in    in
GET    payout_list            in    200        200  404    404    404         in   in   in    in    in   in    in
GET    payout_account         in    200        200  404    404    404         in   in   in    in    in   in    in
POST   payout_account_start   in    400        400  404    404    404         in   in   in    in    in   in    in
GET    payout_account_return  in    >payouts   >payouts 404 404   404         in   in   in    in    in   in    in
GET    payout_account_refresh in    >payouts   >payouts 404 404   404         in   in   in    in    in   in    in
POST   payout_dashboard       in    >payouts   >payouts 404 404   404         in   in   in    in    in   in    in
POST   payout_final           in    >payouts   >payouts 404 404   404         in   in   in    in    in   in    in
POST   top_up_start           in    404        404  >wallet >wallet 404       in   in   in    in    in   in    in
GET    top_up_pay             in    404        404  200    404    404         in   in   in    in    in   in    in
GET    top_up_done            in    404        404  200    404    404         in   in   in    in    in   in    in
GET    top_up_left            in    404        404  200    404    404         in   in   in    in    in   in    in
GET    auto_recharge          in    404        404  200    200    404         in   in   in    in    in   in    in
POST   auto_recharge          in    404        404  >wallet 400   404         in   in   in    in    in   in    in
POST   saved_card_add         in    404        404  >wallet >wallet 404       in   in   in    in    in   in    in
GET    saved_card_done        in    404        404  200    404    404         in   in   in    in    in   in    in
POST   saved_card_default     in    404        404  >wallet 404   404         in   in   in    in    in   in    in
POST   saved_card_remove      in    404        404  >wallet 404   404         in   in   in    in    in   in    in
GET    refund_request         in    404        404  200    200    404         in   in   in    in    in   in    in
POST   refund_request         in    404        404  >wallet 400   404         in   in   in    in    in   in    in
GET    usage                  in    404        404  200    200    404         in   in   in    in    in   in    in
GET    usage_csv              in    404        404  200    200    404         in   in   in    in    in   in    in
GET    spend_cap              in    404        404  200    200    404         in   in   in    in    in   in    in
POST   spend_cap              in    404        404  >wallet >wallet    404         in   in   in    in    in   in    in
GET    billing_profile        in    404        404  200    200    404         in   in   in    in    in   in    in
POST   billing_profile        in    404        404  >wallet >wallet    404         in   in   in    in    in   in    in
GET    invoice_list           in    404        404  200    200    404         in   in   in    in    in   in    in
GET    invoice_detail         in    404        404  200    404    404         in   in   in    in    in   in    in
GET    invoice_pdf            in    404        404  200    404    404         in   in   in    in    in   in    in
GET    top_up_receipt         in    404        404  200    404    404         in   in   in    in    in   in    in
GET    refund_receipt         in    404        404  200    404    404         in   in   in    in    in   in    in
POST   stripe_webhook         400   400        400  400    400    400         400  400  400   400   400  400   400
GET    api_keys               in    404        404  200    200    404         in   in   in    in    in   in    in
POST   api_key_create         in    404        404  200    200    404         in   in   in    in    in   in    in
POST   api_key_revoke         in    404        404  >keys  404    404         in   in   in    in    in   in    in

GET    api_models             401   401        401  401    401    401         200  200  403   401   401  401   401
POST   api_models             401   401        401  401    401    401         201  201  403   401   401  401   401
GET    api_model              401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_files              401   401        401  401    401    401         200  200  403   401   401  401   401
POST   api_files              401   401        401  401    401    401         201  201  403   401   401  401   401
POST   api_estimates          401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_prices             401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_jobs               401   401        401  401    401    401         200  200  403   401   401  401   401
POST   api_jobs               401   401        401  401    401    401         201  404  403   401   401  401   401
GET    api_job                401   401        401  401    401    401         200  404  403   401   401  401   401
POST   api_job_cancel         401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_job_result         401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_wallet             401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_top_ups            401   401        401  401    401    401         200  200  403   401   401  401   401
POST   api_top_ups            401   401        401  401    401    401         201  201  403   401   401  401   401
GET    api_top_up             401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_usage_events       401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_usage              401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_spend_cap          401   401        401  401    401    401         200  200  403   401   401  401   401
PUT    api_spend_cap          401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_auto_recharge      401   401        401  401    401    401         200  200  403   401   401  401   401
PUT    api_auto_recharge      401   401        401  401    401    401         200  409  403   401   401  401   401
GET    api_refunds            401   401        401  401    401    401         200  200  403   401   401  401   401
POST   api_refunds            401   401        401  401    401    401         201  400  403   401   401  401   401
GET    api_invoices           401   401        401  401    401    401         200  200  403   401   401  401   401
GET    api_invoice            401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_invoice_pdf        401   401        401  401    401    401         200  404  403   401   401  401   401
GET    api_nothing            404   404        404  404    404    404         404  404  404   404   404  404   404

POST   node_enrol             401   401        401  401    401    401         401  401  401   401   200  401   401
POST   node_pairing           401   401        401  401    401    401         401  401  401   401   200  401   401
POST   node_credentials       401   401        401  401    401    401         401  401  401   401   200  200   401
POST   node_withdrawals       401   401        401  401    401    401         401  401  401   401   200  200   401
POST   node_sync              401   401        401  401    401    401         401  401  401   401   200  400   401
GET    node_blob              401   401        401  401    401    401         401  401  401   401   200  403   401
PUT    node_result            401   401        401  401    401    401         401  401  401   401   201  404   401
GET    node_nothing           404   404        404  404    404    404         404  404  404   404   404  404   404
"""
HEAD, *LINES = [line.split() for line in TABLE.splitlines() if line.strip()]
ACTORS = HEAD[2:]
ROWS = [(method, name, dict(zip(ACTORS, cells, strict=True))) for method, name, *cells in LINES]


# allauth's pages: the answer without and with a sign-in (a page that asks for the password again redirects).
ALLAUTH_TABLE = """
account_login                         200   >dashboard
account_signup                        200   >dashboard
account_logout                        >     200
account_inactive                      200   200
account_email_verification_sent       200   200
account_confirm_email                 200   200
account_reset_password                200   200
account_reset_password_done           200   200
account_reset_password_from_key       200   200
account_reset_password_from_key_done  200   200
account_confirm_login_code            in    >dashboard
account_reauthenticate                in    200
account_request_reauthentication_code in    403
account_confirm_reauthentication_code in    403
account_email                         in    200
account_change_password               in    200
account_set_password                  in    >accounts
mfa_index                             in    200
mfa_authenticate                      in    >dashboard
mfa_reauthenticate                    in    >accounts
mfa_activate_totp                     in    >accounts
mfa_deactivate_totp                   in    404
mfa_view_recovery_codes               in    404
mfa_generate_recovery_codes           in    >accounts
mfa_download_recovery_codes           in    404
mfa_list_webauthn                     in    200
mfa_add_webauthn                      in    >accounts
mfa_reauthenticate_webauthn           in    >accounts
mfa_remove_webauthn                   in    >accounts
mfa_edit_webauthn                     in    >accounts
"""
ALLAUTH_ROWS = [tuple(line.split()) for line in ALLAUTH_TABLE.strip().splitlines()]

NPY = npy(ARRAY)
FORMS = {
    "access_reason",
    "access_reason_end",
    "account_close",
    "account_reopen",
    "api_key_create",
    "api_key_revoke",
    "auto_recharge",
    "billing_profile",
    "consent_decide",
    "consent_decide_personal",
    "consent_withdraw_all",
    "erasure_cancel",
    "erasure_request",
    "export_request",
    "node_replace",
    "owner_settings",
    "pair",
    "pair_confirm",
    "payout_account_start",
    "payout_dashboard",
    "payout_final",
    "policy_edit",
    "policy_pause",
    "receipt_verify",
    "dispute_detail",
    "dispute_open_order",
    "dispute_open_statement",
    "refund_request",
    "region_choose",
    "saved_card_add",
    "saved_card_default",
    "saved_card_remove",
    "spend_cap",
    "top_up_start",
    "unsubscribe",
    "vehicle_add",
    "vehicle_claim",
    "vehicle_sold",
}
NEEDS = {
    ("POST", "api_models"): "models:write",
    ("POST", "api_files"): "jobs:write",
    ("POST", "api_jobs"): "jobs:write",
    ("POST", "api_job_cancel"): "jobs:write",
    ("GET", "api_wallet"): "wallet:read",
    ("GET", "api_top_ups"): "wallet:read",
    ("POST", "api_top_ups"): "wallet:write",
    ("GET", "api_top_up"): "wallet:read",
    **{("GET", name): "wallet:read" for name in ("api_invoices", "api_invoice", "api_invoice_pdf")},
    ("GET", "api_usage"): "wallet:read",
    ("GET", "api_spend_cap"): "wallet:read",
    ("PUT", "api_spend_cap"): "wallet:write",
    ("GET", "api_auto_recharge"): "wallet:read",
    ("PUT", "api_auto_recharge"): "wallet:write",
    ("GET", "api_refunds"): "wallet:read",
    ("POST", "api_refunds"): "wallet:write",
}


class World:
    """The cast with their data, created once, and the request that every actor sends to a URL."""

    def __init__(self) -> None:
        names = ("alice", "bob", "acme", "globex", "opal")
        self.people = {name: factories.make_user(f"{name}@example.com") for name in names}
        alice, bob = (registration.register_owner(user=self.people[name], name=name) for name in names[:2])
        acme, globex = (registration.register_organization(user=self.people[name], name=name) for name in names[2:4])
        registration.register_operator(user=self.people["opal"])
        for organization in (acme, globex):
            factories.top_up(organization, 10_000_000)
        self.done = factories.complete(factories.make_ordered_job(acme, items=4))
        self.job = factories.make_ordered_job(acme, items=4)
        self.model, self.file = factories.make_artifact(acme), factories.make_input(acme)
        self.car, self.car2 = factories.make_car(alice), factories.make_car(bob)
        factories.lease_to(self.car, self.job)
        (self.lease,) = self.car.sync().leases
        self.vehicle = factories.make_vehicle(alice, consent="")
        self.record = ConsentRecord.objects.get(vehicle=self.car.node.vehicle)
        self.code, _ = nodes.create_enrolment_code(vehicle=self.vehicle, actor=None)
        self.agent = Ed25519PrivateKey.generate()
        self.pairing = factories.make_pairing()
        self.export = exports.request(owner=alice, actor=None)
        assert archive.build(export_id=self.export.pk)
        self.forgotten = factories.make_owner()
        self.erasure = erasures.request(owner=self.forgotten, actor=None)
        self.erased = ErasureRequest.objects.create(
            owner=self.forgotten, status="done", due_at=timezone.now(), proof={"v": 1}, proof_signature="00"
        )
        self.top_up = factories.make_card_top_up(acme)
        self.statement = factories.make_statement(alice)
        self.disputed, self.dispute = factories.make_charged_order(acme), factories.make_dispute(acme)
        self.card = factories.make_saved_card(acme)
        self.invoice, self.paid, self.refund = (
            factories.make_invoice(acme),
            factories.make_paid_top_up(acme),
            factories.make_refund_done(acme),
        )
        with unguarded():  # with a saved card the receipt can be made without asking Stripe for the card
            CardTopUp.objects.filter(pk=self.paid.pk).update(origin="auto", saved_card=self.card)
        self.own_key, key = factories.make_key(acme)
        dead_key, dead = factories.make_key(acme)
        api_keys.revoke_api_key(key=dead_key, actor=None)
        self.sessions = {name: signed_in(user) for name, user in self.people.items()}
        self.ramp, self.receipt = factories.ramp(self.lease), receipts.receipt_text(self.record)
        self.keys = {"key": key, "gkey": factories.make_key(globex)[1], "dead": dead}
        for scope in Scope.values:
            self.keys[scope] = factories.make_key(acme, scopes=[other for other in Scope.values if other != scope])[1]

    def request(self, method: str, name: str) -> dict[str, Any]:
        """Return arguments for Client.generic, without anything that identifies the actor."""
        body, headers = self.body(method, name)
        if name in FORMS and isinstance(body, dict):
            content_type, data = MULTIPART_CONTENT, encode_multipart(BOUNDARY, body)
        elif isinstance(body, dict):
            content_type, data = "application/json", json.dumps(body)
        else:
            content_type, data = protocol.CONTENT_TYPE, body
        query = "?format=npy" if (method, name) == ("POST", "api_files") else ""
        path = reverse(name, args=self.arguments().get(name, ())) + query
        return {"method": method, "path": path, "data": data, "content_type": content_type, "headers": headers}

    def arguments(self) -> dict[str, tuple[Any, ...]]:
        vehicle, job, done = self.vehicle.public_id, self.job.public_id, self.done.public_id
        return {
            "policy_edit": (vehicle,),
            "policy_pause": (vehicle,),
            "vehicle_detail": (vehicle,),
            "vehicle_activity": (vehicle,),
            "vehicle_enrol": (vehicle,),
            "consent_decide": (vehicle, "run_jobs"),
            "consent_history": (vehicle,),
            "consent_notice": ("run_jobs", 1),
            "consent_decide_personal": ("product_email",),
            "region_choose": (vehicle,),
            "receipt": (self.record.public_id,),
            "unsubscribe": (unsubscribes.token(self.record.owner),),
            "job_detail": (job,),
            "job_result": (done,),
            "pair_confirm": (self.pairing.code,),
            "node_replace": (self.car.node.vehicle.public_id,),
            "export_download": (self.export.public_id,),
            "erasure_cancel": (erasures.token_of(self.erasure),),
            "erasure_proof": (self.erased.public_id,),
            "vehicle_sold": (vehicle,),
            **dict.fromkeys(("top_up_pay", "top_up_done", "top_up_left", "api_top_up"), (self.top_up.public_id,)),
            **dict.fromkeys(
                ("invoice_detail", "invoice_pdf", "api_invoice", "api_invoice_pdf"), (self.invoice.public_id,)
            ),
            "top_up_receipt": (self.paid.public_id,),
            "refund_receipt": (self.refund.public_id,),
            "dispute_open_order": (self.disputed.job.public_id,),
            "dispute_open_statement": (self.statement.public_id,),
            "dispute_detail": (self.dispute.public_id,),
            **dict.fromkeys(("statement_package", "statement_detail", "statement_pdf"), (self.statement.public_id,)),
            "usage_csv": (2026, 11),
            **dict.fromkeys(("earnings_tax", "earnings_tax_csv"), (2026,)),
            **dict.fromkeys(("saved_card_done", "saved_card_default", "saved_card_remove"), (self.card.public_id,)),
            "api_key_revoke": (self.own_key.public_id,),
            "api_model": (self.model.public_id,),
            "api_job": (job,),
            "api_job_cancel": (job,),
            "api_job_result": (done,),
            "node_blob": (self.lease.input_sha256,),
            "node_result": (self.lease.attempt,),
            "node_nothing": ("nothing",),
        }

    def body(self, method: str, name: str) -> tuple[Any, dict[str, str]]:
        """Return the body and its headers."""
        wanted = {"model": str(self.model.public_id), "input_file": str(self.file.public_id)}
        public = self.agent.public_key().public_bytes_raw().hex()
        sync = protocol.SyncRequest(node=self.car.id, seq=1000, available=False)
        bodies: dict[str, tuple[Any, dict[str, str]]] = {
            "vehicle_add": ({"label": "Car", "make_model": "", "vin": "1M8GDM9AXKP042788"}, {}),
            "owner_settings": ({"name": "A", "country": "DE", "locale": "de-DE", "time_zone": "Europe/Berlin"}, {}),
            "consent_decide": ({"decision": "given", "notice_version": "1"}, {}),
            "pair": ({"code": self.pairing.code.lower()}, {}),
            "pair_confirm": ({"vehicle": str(self.vehicle.public_id)}, {}),
            "node_replace": ({"why": "lost"}, {}),
            "node_pairing": (protocol.pack(factories.pairing_request(public)), {}),
            "policy_edit": ({"action": "preset:overnight", "version": "1"}, {}),
            "policy_pause": ({"kind": "hour"}, {}),
            "consent_decide_personal": ({"decision": "given", "notice_version": "1"}, {}),
            "region_choose": ({"region": "US-CA"}, {}),
            "receipt_verify": ({"text": self.receipt}, {}),
            "node_withdrawals": (protocol.pack(protocol.Withdrawal()), {}),
            "erasure_request": ({"word": "ERASE"}, {}),
            "vehicle_claim": ({"vin": "1M8GDM9AXKP042788"}, {}),
            "access_reason": ({"category": "Support", "words": "a test of permissions"}, {}),
            "api_key_create": ({"name": "New", "scopes": "jobs:read"}, {}),
            "api_models": (b"model", {}),
            "api_files": (NPY, {}),
            "api_estimates": (wanted, {}),
            "api_jobs": (wanted, {"Idempotency-Key": "k"}),
            "api_top_ups": ({"amount_micro": 10_000_000}, {"Idempotency-Key": "k"}),
            "payout_account_start": ({"country": "BR", "key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, {}),
            "api_refunds": ({"amount_micro": 10_000_000}, {"Idempotency-Key": "k"}),
            "dispute_open_order": (
                {"amount": "0.000001", "reason": "The results are wrong.", "key": str(self.own_key.public_id)},
                {},
            ),
            "dispute_open_statement": (
                {"amount": "1", "reason": "A car is missing here.", "key": str(self.own_key.public_id)},
                {},
            ),
            "dispute_detail": ({"text": "One more thing."}, {}),
            "refund_request": ({"amount": "10.00", "key": "6ba7b810-9dad-11d1-80b4-00c04fd430c9"}, {}),
            "top_up_start": ({"choice": "25", "key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, {}),
            "saved_card_add": ({"key": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, {}),
            "auto_recharge": (
                {
                    "is_on": "on",
                    "threshold": "20",
                    "amount": "50",
                    "monthly_cap": "200",
                    "card": str(self.card.public_id),
                },
                {},
            ),
            "api_spend_cap": ({"monthly_micro": 10_000_000}, {}),
            "spend_cap": ({"monthly": "500", "action": "set"}, {}),
            "billing_profile": ({"legal_name": "Acme Ltd", "low_balance": "20"}, {}),
            "api_auto_recharge": (
                {"is_on": True, "threshold_micro": 0, "amount_micro": 5 * 10**7, "monthly_cap_micro": 5 * 10**7},
                {},
            ),
            "node_enrol": (protocol.pack(factories.enrolment(self.code, public)), {}),
            "node_sync": (protocol.pack(sync), {}),
            "node_blob": (b"", {protocol.GRANT_HEADER: self.lease.grant}),
            "node_result": (self.ramp, {protocol.FENCE_HEADER: str(self.lease.fence)}),
        }
        none = ({}, {}) if name in FORMS else (b"", {})
        return bodies.get(name, none) if method != "GET" or name == "node_blob" else (b"", {})

    def ask(self, actor: str, method: str, name: str) -> Any:
        """Return the response to this actor's request."""
        request, client = self.request(method, name), Client(raise_request_exception=False)
        if actor in self.people:
            client.cookies = self.sessions[actor].copy()
        elif actor in ("node", "node2", "forged"):
            request["headers"] |= self.signature(actor, name, request)
        elif actor != "anon":
            text = self.keys[NEEDS.get((method, name), "jobs:read")] if actor == "scope" else self.keys[actor]
            request["headers"] |= {"Authorization": f"Bearer {text}"}
        return client.generic(**request)

    def signature(self, actor: str, name: str, request: dict[str, Any]) -> dict[str, str]:
        key, keyid = {
            "node": (self.car.key, self.car.id),
            "node2": (self.car2.key, self.car2.id),
            "forged": (self.car2.key, self.car.id),
        }[actor]
        if name in ("node_enrol", "node_pairing") and actor != "node2":  # an agent signs that registers its own key
            keyid = self.agent.public_key().public_bytes_raw().hex()
            key = self.agent if actor == "node" else key
        data = request["data"]
        body = data if isinstance(data, bytes) else str(data).encode()
        return dict(factories.signed_request(key, keyid, request["method"], request["path"], body=body)["headers"])


def signed_in(user: User) -> SimpleCookie:
    client = Client()
    client.force_login(user)
    return client.cookies


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[World]:
    """Yield the world, created once for the whole table in a transaction that is rolled back at the end."""
    folder = tmp_path_factory.mktemp("blobs")
    with (
        leftovers.rolled_back(django_db_blocker),
        override_settings(BLOB_ROOT=folder, EXPORT_ROOT=folder / "exports"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("compute.nodes.pairings.LIFETIME", timedelta(days=1))  # longer than the whole table takes
        created = World()
        created.blobs = folder
        yield created


@pytest.fixture
def there(world: World, settings: Any) -> World:
    settings.BLOB_ROOT, settings.EXPORT_ROOT = world.blobs, world.blobs / "exports"
    return world


def shown(answer: Any) -> str:
    """Return a status as the table writes it."""
    if answer.status_code != 302:
        return str(answer.status_code)
    if answer["Location"].startswith(reverse("account_login")):
        return "in"
    return ">" + answer["Location"].strip("/").split("/")[0]


def each_alone(world: World, requests: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """Return the answer to each (actor, method, name). Each request is rolled back, so that none affects the next."""
    answers = {}
    for actor, method, name in requests:
        with transaction.atomic():
            answers[actor] = shown(world.ask(actor, method, name))
            transaction.set_rollback(True)
    return answers


@pytest.mark.parametrize(("method", "name", "expected"), ROWS, ids=[f"{method} {name}" for method, name, _ in ROWS])
def test_every_url_for_every_actor(there: World, method: str, name: str, expected: dict[str, str]) -> None:
    assert each_alone(there, [(actor, method, name) for actor in ACTORS]) == expected


@pytest.mark.parametrize(("name", "anon", "signed_in"), ALLAUTH_ROWS, ids=[row[0] for row in ALLAUTH_ROWS])
def test_every_page_of_an_account(request: Any, there: World, name: str, anon: str, signed_in: str) -> None:
    arguments = {
        "account_confirm_email": ["x"],
        "account_reset_password_from_key": ["1", "x-y"],
        "mfa_remove_webauthn": [1],
        "mfa_edit_webauthn": [1],
    }
    path, client = reverse(name, args=arguments.get(name)), Client(raise_request_exception=False)
    assert shown(client.get(path)) == anon
    client.force_login(there.people["alice"])
    assert shown(client.get(path)) == signed_in


# --- the back office --------------------------------------------------------------------------------------------------


def admin_urls() -> list[tuple[str, str]]:
    """Return (name, path) of every page of the back office, with the id 1 where one is needed."""
    (office,) = (pattern for pattern in get_resolver().url_patterns if getattr(pattern, "namespace", "") == "admin")
    pages = [(name, "/operations/" + re.sub(r"<\w+:\w+>", "1", path)) for name, path in names_of(office.url_patterns)]
    return [(name, path) for name, path in pages if "(" not in path and name not in ("login", "jsi18n", "None")]


@pytest.mark.parametrize("actor", ["anon", "alice", "acme"])
def test_the_back_office_is_closed_to_everybody_but_staff(there: World, actor: str) -> None:
    client = Client()
    if actor != "anon":
        client.force_login(there.people[actor])
    expected = {">operations", "in"} if actor == "anon" else {"403", ">operations"}
    assert len(admin_urls()) > 50
    for _, path in admin_urls():
        assert shown(client.get(path)) in expected, path
        assert shown(client.post(path)) in expected, path
    assert "Driveway operations" not in client.get("/operations/", follow=True).content.decode()


def page_paths(options: ModelAdmin[Any]) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of every view of a back-office class, with the id of an existing row."""
    row, meta = options.model._default_manager.order_by("pk").first(), options.opts
    for name, path in names_of(options.get_urls()):
        there = re.sub(r"<\w+:\w+>", str(row.pk if row else 1), path)
        yield name, f"/operations/{meta.app_label}/{meta.model_name}/{there}"


@pytest.mark.parametrize("reason", [False, True], ids=["no reason", "a reason"])
def test_no_view_of_a_page_opens_for_staff_without_its_permission(there: World, reason: bool) -> None:
    junior = factories.make_user()
    registration.register_operator(user=junior, role="support")
    client = Client()
    client.force_login(junior)
    if reason:
        client.post(reverse("access_reason"), {"category": "Support", "words": "a test of permissions"})
    seen = set()
    for options in admin.site._registry.values():
        for name, path in page_paths(options):
            seen.add(name.rsplit("_", 1)[-1])
            for method in ("get", "post"):
                answer = getattr(client, method)(path)
                target = answer.status_code == 302 and answer["Location"]
                # Django redirects an old address to the page, and the history of a missing object to the index.
                harmless = target and (name == "None" or (name.endswith("_history") and target == "/operations/"))
                assert answer.status_code == 403 or harmless, f"{method} {path}: {answer.status_code}"
    assert {"decide", "changelist", "add", "change", "delete", "history"} <= seen


def reading_staff(there: World) -> Client:
    """Return a client of opal, who has stated a reason."""
    client = Client()
    client.force_login(there.people["opal"])
    client.post(reverse("access_reason"), {"category": "Support", "words": "a test of permissions"})
    return client


def test_staff_may_look_at_everything_and_delete_nothing(there: World) -> None:
    client = reading_staff(there)
    for name, path in admin_urls():
        if name == "index" or name.endswith("_changelist"):
            assert client.get(path).status_code == 200, path
        if name.endswith("_delete"):
            assert client.post(path, {"post": "yes"}).status_code in (302, 403), path


def test_staff_are_shown_no_secret(there: World) -> None:
    client = reading_staff(there)
    vehicle, user = there.vehicle, there.people["alice"]
    secrets = {
        f"accounts/user/{user.pk}": user.password,
        f"accounts/vehicle/{vehicle.pk}": vehicle.vin_hash,
        f"accounts/apikey/{there.own_key.pk}": there.own_key.secret_sha256,
    }
    for path, secret in secrets.items():
        page = client.get(f"/operations/{path}/change/")
        assert page.status_code == 200, path
        assert secret not in page.content.decode(), path


def test_signing_in_to_the_back_office_is_the_sites_own_sign_in(there: World) -> None:
    assert shown(Client().get("/operations/login/")) == "in"


# --- the table is complete --------------------------------------------------------------------------------------------


def names_of(patterns: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            if getattr(pattern, "namespace", None) != "admin":
                yield from names_of(pattern.url_patterns, path)
        else:
            yield str(pattern.name), path


def test_every_url_is_in_a_table() -> None:
    named = {name for _, name, _ in ROWS} | {name for name, _, _ in ALLAUTH_ROWS}
    assert {name for name, _ in names_of(get_resolver().url_patterns)} == named


def test_every_method_is_in_the_table(there: World) -> None:
    """A method that the table does not list is refused for every actor."""
    listed = {(method, name) for method, name, _ in ROWS}
    for name in {name for _, name in listed}:
        first = name.split("_")[0]
        customer = first in (
            "job",
            "wallet",
            "top",
            "invoice",
            "refund",
            "usage",
            "spend",
            "billing",
        ) or name.startswith("api_key")
        actor = {"node": "node", "api": "key"}.get(first, "alice") if not customer else "acme"
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if (method, name) not in listed:
                with transaction.atomic():
                    status = there.ask(actor, method, name).status_code
                    transaction.set_rollback(True)
                assert status in (404, 405), f"{method} {name}: {status}"
