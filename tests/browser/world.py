"""The people of the browser tests, their data in every state that a page shows, and how each person is signed in."""

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from accounts.consents import unsubscribes
from accounts.models import Owner, User
from accounts.owners import erasures, registration
from billing.approvals import service as approvals
from billing.disputes import disputes
from billing.models import (
    AutoRecharge,
    BillingProfile,
    CardTopUp,
    LedgerCheck,
    LedgerDifference,
    LedgerTransfer,
    RatedUsage,
    SpendDay,
)
from billing.orders import settlement, voids
from billing.payouts import payouts
from billing.topups import recharge_settings, recharges
from billing.usage import spend_caps
from billing.wallet import wallets
from compute.models import Attempt, AvailabilitySpan, MeterConflict, ModelArtifact, NodePresence
from compute.nodes import decisions as node_decisions
from core.states import transition
from tests import factories
from tests.billing.payouts.helpers import make_payout


class World:
    """The people and their data."""

    def __init__(self, url: str, blobs: Path) -> None:
        self.url, self.blobs = url, blobs
        self.acme = factories.make_organization("acme@example.com", wallet_micro=10**7)
        names = ("alice", "bob", "carol")  # carol has no vehicle
        self.alice, self.bob, self.carol = (factories.make_owner(f"{name}@example.com") for name in names)
        self.opal = factories.make_user("opal@example.com")
        registration.register_operator(user=self.opal)
        self.car, self.car2 = factories.make_car(self.alice), factories.make_car(self.bob)
        self.vehicle = self.car.node.vehicle
        self.bare = factories.make_vehicle(self.alice, consent="")  # no agent, no decision about any purpose
        self._work()
        self._states()
        self.key, _ = factories.make_key(self.acme)
        self.pairing = factories.make_pairing()
        self.top_up = factories.make_card_top_up(self.acme)
        self._payouts()
        self._earnings()
        self._cards()
        for micro in (25_000_000, 40_000_000):
            factories.make_card_lot(self.acme, micro)
        for micro, status, code in (
            (5, "succeeded", ""),
            (8, "pending", ""),
            (3, "failed", "expired_or_canceled_card"),
        ):
            factories.make_refund(self.acme, micro * 10**6, status=status, code=code)
        factories.make_refund(self.acme, 2_000_000)
        self._invoices()
        self._disputes()
        self._conflict()
        self._usage()
        self.erasure = erasures.request(owner=factories.make_owner(), actor=None)
        self.cookies = {
            "public": {},
            "owner": signed_in(self.alice.user),
            "guarded": guarded(self.bob.user),
            "customer": signed_in(self.acme.memberships.get().user),
            "operator": signed_in(self.opal),
        }

    def _work(self) -> None:
        """Create a job that is done and paid, one that is being checked, and one that failed on alice's car."""
        ordered = factories.make_ordered_job(self.acme, items=8, unit_items=4)
        ModelArtifact.objects.update(us_per_item=10**7)  # so slow that the pay does not round down to zero
        with override_settings(METER_CLOCK_SLACK_MS=10**6):  # forty seconds of work are reported at once
            self.done = factories.complete(ordered, compute_ms=40_000, cars=[self.car, self.car2])
        self.running = factories.make_ordered_job(self.acme, items=4)
        paid = factories.lease_to(self.car, self.running)
        self.car.sync(reports=(self.car.report(paid),))
        failed = factories.lease_to(self.car, factories.make_ordered_job(self.acme, items=4))
        Attempt.objects.filter(pk=failed.pk).update(status="failed", status_code="crashed", ended_at=timezone.now())
        settlement.settle_usage()

    def _payouts(self) -> None:
        """Create a payout account for which Stripe asks for more, and payouts that wait for it or are over."""
        wants = [
            ("identity.individual.documents.primary_verification", "user", "past_due"),
            ("external_account", "user", "currently_due"),
            ("identity.individual.address.line1", "stripe", "currently_due"),
            ("identity.individual.phone", "user", "eventually_due"),
            ("a.name.of.stripes." + "x" * 30, "user", "currently_due"),
        ]
        entries = [
            {
                "name": name,
                "waits_for": who,
                "due": due,
                "errors": ["verification_document_not_readable"] * (due == "past_due"),
            }
            for name, who, due in wants
        ]
        factories.make_connected_account(self.alice, requirements=entries, status_code="requirements_past_due")
        for code in ("account_not_ready", "held", ""):
            self.payout = make_payout(self.alice, 123_450_000)
            type(self.payout).objects.filter(pk=self.payout.pk).update(status_code=code)
        payouts.return_to_balance(payout=make_payout(self.alice), reason="test", actor=None)

    def _earnings(self) -> None:
        """Create three weeks of work of two cars, and a statement with every kind of line, including late work."""
        today = timezone.now().date()
        for ago in range(1, 22):
            for vehicle, gross in ((self.vehicle, 1_234_567), (self.bare, 345_678)):
                factories.make_earnings_day(
                    vehicle,
                    today - timedelta(days=ago),
                    gross_micro=gross * (ago % 7),
                    energy_cost_nano=ago * 12_345_678,
                    wear_nano=ago * 4_567_891,
                    attempts=ago,
                    compute_ms=ago * 3_600_000,
                )
        month = today.replace(day=1)
        node = self.car.node
        work = {
            "vehicle": self.vehicle,
            "hardware_class": node.hardware_class,
            "service_month": month,
            "attempts": 12,
            "compute_ms": 7_200_000,
            "energy_cost_nano": 1_234_567_890,
            "wear_nano": 234_567_890,
        }
        late = (month - timedelta(days=1)).replace(day=1)
        lines = [
            {**work, "kind": "work", "amount_micro": 8_000_000},
            {**work, "kind": "work", "amount_micro": 1_500_000, "service_month": late, "is_late": True},
            {**work, "kind": "check", "amount_micro": 500_000, "vehicle": self.bare},
            {
                "kind": "correction",
                "service_month": late,
                "vehicle": self.vehicle,
                "amount_micro": -1_200_003,
                "note": "A result that was wrong",
            },
            {"kind": "adjustment", "service_month": month, "amount_micro": 250_000, "note": "Goodwill " * 15},
            {
                "kind": "reserve",
                "service_month": month,
                "amount_micro": -2_000_000,
                "note": "A customer disputes a job",
            },
            {"kind": "return", "service_month": month, "amount_micro": 1_000_000, "note": "Payout of statement 3"},
        ]
        self.statement = factories.make_statement(
            self.alice,
            number=900,
            lines=lines,
            opening_micro=7,
            earned_micro=10_000_000,
            corrected_micro=-950_003,
            other_micro=-1_000_000,
            carried_micro=8_050_004,
        )

    def _cards(self) -> None:
        """Create two cards, one of which expires soon, and a recharge that paid once and is now paused.

        It is paused because a bank asked for a confirmation.
        """
        self.card = factories.make_saved_card(self.acme)
        now = timezone.now()
        other = factories.make_saved_card(
            self.acme, last4="4444", brand="mastercard", exp_month=now.month, exp_year=now.year
        )
        recharge_settings.change(
            organization=self.acme,
            is_on=True,
            threshold_micro=2 * 10**7,
            amount_micro=5 * 10**7,
            monthly_cap_micro=2 * 10**8,
            card_id=other.public_id,
            actor=None,
        )
        for status, code in (("paid", ""), ("failed", "authentication_required")):
            recharges.recharge_low()
            row = CardTopUp.objects.get(origin="auto", status="created")
            row.payment_intent_id = f"pi_{row.pk}"
            row.save()
            if status == "paid":
                wallets.credit(row, row.payment_intent_id)
                AutoRecharge.objects.update(threshold_micro=9 * 10**7)
            else:
                transition(row, status, code=code, ended_at=now)
        AutoRecharge.objects.update(paused_code="authentication_required", paused_at=now)

    def _invoices(self) -> None:
        """Create a month of work, one with a refunded charge, and a customer with a long name and address."""
        BillingProfile.objects.create(
            organization=self.acme,
            legal_name="Acme Machine Intelligence " * 3,
            address="1 High Street\nLeeds LS1 4DY",
            tax_id="GB123456789",
        )
        self.invoice = factories.make_invoice(self.acme)
        voids.void(
            rated=RatedUsage.objects.filter(order__organization=self.acme).earliest("id"), reason="test", actor=None
        )
        voids.settle_voids()
        factories.make_invoice(self.acme)

    def _usage(self) -> None:
        """Create days of earlier work by two models, one with a long name, and a cap that is partly used."""
        models = [factories.make_artifact(self.acme), factories.make_artifact(self.acme)]
        ModelArtifact.objects.filter(pk=models[1].pk).update(name="resnet_of_many_words_" * 3)
        today = timezone.now().astimezone(UTC).date()
        SpendDay.objects.bulk_create(
            SpendDay(
                organization=self.acme,
                artifact=model,
                currency="USD",
                day=today - timedelta(days=back),
                units=back,
                items=900 * back,
                compute_ms=10**7 * back,
                energy_mwh=123_456 * back,
                charged_micro=(17 * back % 11 + 1) * 123_456 * (index + 1),
            )
            for back in range(1, 40, 2)
            for index, model in enumerate(models)
        )
        spend_caps.set_cap(organization=self.acme, monthly_micro=40_000_000, actor=None)

    def _disputes(self) -> None:
        """Create a dispute with messages, and a proposal that waits for a second operator."""
        self.dispute = factories.make_dispute(self.acme)
        for operator, text in (
            (True, "Which rows do you mean?"),
            (False, "Rows 3 to 7: the labels are shifted by one."),
        ):
            disputes.add_message(
                dispute=self.dispute,
                text=text,
                author=self.opal if operator else self.dispute.opened_by,
                from_operator=operator,
            )
        second = factories.make_user("otto@example.com")
        registration.register_operator(user=second)
        self.approval = approvals.propose(
            kind="adjust_customer",
            params={"organization": str(self.acme.public_id), "amount_micro": 5 * 10**6},
            reason="Goodwill for the failed job of last week.",
            idempotency_key="world",
            actor=second,
        )

    def _conflict(self) -> None:
        """Create a car that signed two records with one number, and one decision about it."""
        car = factories.make_car()
        attempt = factories.lease_to(car)
        second = car.report(attempt, advance=False, compute_ms=999, energy_mwh=7)
        car.sync(reports=(car.report(attempt),))
        car.sync(reports=(second,))
        self.conflict = MeterConflict.objects.get(node=car.node)
        node_decisions.decide(
            node=car.node,
            kind="keep",
            reason="Ticket 4711: we asked the owner first.",
            idempotency_key="world",
            actor=self.opal,
        )

    def _states(self) -> None:
        """Create a car that its rules stop, a history of availability, long names, and another locale than usual."""
        factories.decide(self.vehicle, "given", "availability")
        NodePresence.objects.filter(node=self.car.node).update(
            available=False, reason="charge_low", last_sync_at=timezone.now() + timedelta(hours=1)
        )
        for hours, available, reason in ((30, True, ""), (20, False, "not_plugged_in"), (5, True, "")):
            start = timezone.now() - timedelta(hours=hours)
            AvailabilitySpan.objects.create(
                node=self.car.node,
                vehicle=self.vehicle,
                available=available,
                reason=reason,
                started_at=start,
                ended_at=start + timedelta(hours=4),
            )
        self.transfer = LedgerTransfer.objects.filter(kind="top_up").earliest("id")
        check = LedgerCheck.objects.create(checks=40, differences=1, took_ms=9)
        self.difference = LedgerDifference.objects.create(
            check_name="balances",
            subject=self.transfer.credit.key,
            expected_micro=1,
            actual_micro=2,
            first_seen=check,
            last_seen=check,
        )
        type(self.vehicle).objects.filter(pk=self.bare.pk).update(label="W" * 60, make_model="Longest " * 9)
        Owner.objects.filter(pk=self.alice.pk).update(locale="de-DE", time_zone="Europe/Berlin")


def signed_in(user: User) -> dict[str, str]:
    """Sign in through the forms, as a person does, and return the cookies.

    Some pages ask for a recent sign-in and for a verified address.
    """
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": factories.PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": factories.PASSWORD})
    if user.is_staff:
        client.post(reverse("access_reason"), {"category": "Support", "words": "a look at every page"})
    return {name: morsel.value for name, morsel in client.cookies.items()}


def guarded(user: User) -> dict[str, str]:
    """Sign in a user, add a second factor and recovery codes, and return the cookies."""
    cookies = signed_in(user)
    TOTP.activate(user, generate_totp_secret())
    RecoveryCodes.activate(user)
    return cookies


def arguments(world: World) -> dict[str, tuple[Any, ...]]:
    """Return the arguments of the pages' URLs, by URL name."""
    vehicle = world.vehicle.public_id
    return {
        "vehicle_detail": (vehicle,),
        "vehicle_activity": (vehicle,),
        "vehicle_enrol": (world.bare.public_id,),
        "consent_history": (vehicle,),
        "policy_edit": (vehicle,),
        "node_replace": (vehicle,),
        "vehicle_sold": (vehicle,),
        "pair_confirm": (world.pairing.code,),
        "unsubscribe": (unsubscribes.token(world.alice),),
        "erasure_cancel": (erasures.token_of(world.erasure),),
        "consent_notice": ("run_jobs", 1),
        "statement_detail": (world.statement.public_id,),
        "dispute_open_statement": (world.statement.public_id,),
        "dispute_open_order": (world.dispute.order.job.public_id,),
        "dispute_detail": (world.dispute.public_id,),
        "admin:billing_dispute_change": (world.dispute.pk,),
        "admin:compute_meterconflict_change": (world.conflict.pk,),
        "admin:billing_approval_change": (world.approval.pk,),
        "earnings_tax": (timezone.now().year,),
        "job_detail": (world.done.public_id,),
        **dict.fromkeys(("top_up_pay", "top_up_done", "top_up_left"), (world.top_up.public_id,)),
        "invoice_detail": (world.invoice.public_id,),
        "saved_card_done": (world.card.public_id,),
        "account_confirm_email": ("x",),
        "account_reset_password_from_key": ("1", "x-y"),
        "admin:accounts_vehicle_change": (world.vehicle.pk,),
        "admin:billing_payout_change": (world.payout.pk,),
        "admin:billing_ledgeraccount_change": (world.transfer.credit_id,),
        "admin:billing_ledgertransfer_change": (world.transfer.pk,),
        "admin:billing_ledgerdifference_change": (world.difference.pk,),
    }
