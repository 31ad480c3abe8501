"""Disputes: what is held, what a decision moves, and that no money is moved twice."""

from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import Mail
from accounts.owners import registration
from billing.disputes import decisions as dispute_decisions
from billing.disputes import disputes
from billing.ledger import posting
from billing.models import Dispute, LedgerAccount, LedgerTransfer, RatedUsage
from billing.orders import closing, voids
from billing.orders.settlement import settle_usage
from billing.statements import statements
from core.errors import DomainError
from tests import factories
from tests.billing.helpers import HOUR_MS, end_job, make_card, make_class, make_node, make_usage, order, top_up
from tests.database import sqlstate_of

pytestmark = pytest.mark.django_db


def balance(kind: str, **who: object) -> int:
    row = LedgerAccount.objects.filter(kind=kind, **who).first()
    return row.balance_micro if row else 0


class Scene:
    """A closed job that cost something, on which two owners worked."""

    def __init__(self) -> None:
        self.customer = factories.make_organization("customer@example.com")
        self.user = self.customer.memberships.get().user
        self.opal = factories.make_user("opal@example.com")
        registration.register_operator(user=self.opal)
        hardware = make_class()
        make_card(hardware)
        self.nodes = [make_node(hardware), make_node(hardware)]
        top_up(self.customer, 10_000_000)
        self.order = order(self.customer)
        for node in self.nodes:
            make_usage(self.order.job, node, compute_ms=HOUR_MS // 2)
        settle_usage()
        end_job(self.order.job)
        closing.close_orders()
        self.order.refresh_from_db()

    def open(self, micro: int = 0, key: str = "k") -> Dispute:
        return disputes.open_order(
            organization=self.customer,
            order=self.order,
            reason="The results are wrong.",
            claimed_micro=micro or self.order.charged_micro,
            idempotency_key=key,
            actor=self.user,
        )

    def uphold(self, dispute: Dispute, micro: int, bearer: str = "owner") -> Dispute:
        return dispute_decisions.uphold(
            dispute=dispute, granted_micro=micro, bearer=bearer, decision="The results were wrong.", actor=self.opal
        )

    def void(self, *which: int) -> None:
        """Void the ratings with these indexes; the order has two, one of each owner."""
        rated = list(RatedUsage.objects.filter(order=self.order).order_by("id"))
        for index in which:
            voids.void(rated=rated[index], reason="Counted twice", actor=self.opal)
        voids.settle_voids()

    def given_back(self) -> int:
        back = LedgerTransfer.objects.filter(kind="correction", credit__organization=self.customer)
        return sum(back.values_list("amount_micro", flat=True))

    def owed(self) -> list[int]:
        return [balance("payable", owner=node.vehicle.owner) for node in self.nodes]

    def held(self) -> list[int]:
        return [balance("reserve", owner=node.vehicle.owner) for node in self.nodes]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_the_owners_earned_is_held_while_a_job_is_disputed(scene: Scene):
    earned = scene.owed()
    dispute = scene.open()
    assert scene.held() == earned
    assert scene.owed() == [0, 0]
    assert dispute.reserved_micro == sum(earned) > 0
    assert posting.recompute() == []


def test_the_same_key_opens_one_and_another_amount_is_refused(scene: Scene):
    first = scene.open()
    assert scene.open() == first
    with pytest.raises(DomainError) as refused:
        scene.open(1)
    assert refused.value.code == "idempotency_conflict"
    with pytest.raises(DomainError) as refused:
        scene.open(key="other")
    assert refused.value.code == "dispute_open"
    assert LedgerTransfer.objects.filter(kind="reserve").count() == 2


@pytest.mark.parametrize("micro", [-1, 10**12])
def test_nobody_claims_more_than_was_charged(scene: Scene, micro: int):
    with pytest.raises(DomainError) as refused:
        scene.open(micro)
    assert refused.value.code == "amount_invalid"


def test_after_the_days_of_the_settings_it_is_too_late(scene: Scene):
    with override_settings(DISPUTE_DAYS=-1), pytest.raises(DomainError) as refused:
        scene.open()
    assert refused.value.code == "too_late"


def test_withdrawing_lets_the_earnings_go(scene: Scene):
    earned = scene.owed()
    dispute = disputes.withdraw(dispute=scene.open(), actor=scene.user)
    assert (dispute.status, scene.owed(), scene.held()) == ("withdrawn", earned, [0, 0])
    assert posting.recompute() == []


def test_a_rejected_dispute_changes_nothing_in_the_end(scene: Scene):
    earned, spendable = scene.owed(), balance("wallet", organization=scene.customer)
    dispute = scene.open()
    for _ in range(2):
        dispute_decisions.reject(dispute=dispute, decision="We looked: they are right.", actor=scene.opal)
    assert (scene.owed(), balance("wallet", organization=scene.customer)) == (earned, spendable)
    assert Mail.objects.filter(kind="dispute-decided", user=scene.user).count() == 1
    assert posting.recompute() == []


@pytest.mark.parametrize("part", [1, 7, 10])
def test_upheld_at_the_owners_cost_every_side_gives_back_its_part(scene: Scene, part: int):
    earned, spendable = scene.owed(), balance("wallet", organization=scene.customer)
    dispute = scene.open()
    granted = scene.order.charged_micro * part // 10
    for _ in range(2):
        dispute_decisions.uphold(
            dispute=dispute, granted_micro=granted, bearer="owner", decision="The results were wrong.", actor=scene.opal
        )
    assert balance("wallet", organization=scene.customer) == spendable + granted
    paid_back = [before - after for before, after in zip(earned, scene.owed(), strict=True)]
    assert paid_back == [micro * granted // scene.order.charged_micro for micro in earned]
    assert scene.held() == [0, 0]
    assert posting.recompute() == []


def test_upheld_at_our_cost_the_owners_keep_what_they_earned(scene: Scene):
    earned, spendable = scene.owed(), balance("wallet", organization=scene.customer)
    dispute_decisions.uphold(
        dispute=scene.open(), granted_micro=5, bearer="platform", decision="Our planner was at fault.", actor=scene.opal
    )
    assert scene.owed() == earned
    assert balance("wallet", organization=scene.customer) == spendable + 5
    assert posting.recompute() == []


def test_what_was_granted_cannot_be_claimed_again(scene: Scene):
    charged = scene.order.charged_micro
    dispute_decisions.uphold(
        dispute=scene.open(charged),
        granted_micro=charged,
        bearer="platform",
        decision="All of it is given back.",
        actor=scene.opal,
    )
    with pytest.raises(DomainError) as refused:
        scene.open(1, key="again")
    assert refused.value.code == "amount_invalid"


def test_what_was_voided_cannot_be_claimed(scene: Scene):
    scene.void(0, 1)
    with pytest.raises(DomainError) as refused:
        scene.open()
    assert (refused.value.code, refused.value.fields["max_micro"]) == ("amount_invalid", 0)
    assert (scene.given_back(), scene.owed()) == (100_000, [0, 0])
    assert posting.recompute() == []


def test_an_owner_whose_work_was_voided_does_not_pay_for_the_rest(scene: Scene):
    scene.void(0)
    dispute = scene.open(50_000)
    assert scene.held() == [0, 35_000]
    scene.uphold(dispute, 50_000)
    assert (scene.given_back(), scene.owed(), scene.held()) == (100_000, [0, 0], [0, 0])
    assert posting.recompute() == []


def test_what_is_voided_while_a_dispute_is_open_can_no_longer_be_granted(scene: Scene):
    dispute = scene.open()
    scene.void(1)
    assert (scene.owed(), scene.held()) == ([0, -35_000], [35_000, 35_000])
    with pytest.raises(DomainError) as refused:
        scene.uphold(dispute, 50_001)
    assert (refused.value.code, refused.value.fields["max_micro"]) == ("given_back", 50_000)
    scene.uphold(dispute, 50_000)
    assert (scene.given_back(), scene.owed(), scene.held()) == (100_000, [0, 0], [0, 0])
    assert posting.recompute() == []


def test_what_was_charged_is_not_voided_after_a_dispute_was_upheld(scene: Scene):
    scene.uphold(scene.open(), 1)
    owed = scene.owed()
    with pytest.raises(DomainError) as refused:
        scene.void(0)
    assert refused.value.code == "dispute_upheld"
    assert (voids.settle_voids(), scene.given_back(), scene.owed()) == (0, 1, owed)


def test_two_disputes_that_did_not_see_each_other_grant_it_once(scene: Scene):
    """The second one is stored as if it had been opened before the first was decided."""
    first = scene.open()
    second = Dispute(
        organization=scene.customer,
        order=scene.order,
        reason="x",
        claimed_micro=100_000,
        currency="USD",
        idempotency_key="2",
    )
    scene.uphold(first, 60_000, "platform")
    second.save()
    with pytest.raises(DomainError) as refused:
        scene.uphold(second, 40_001)
    assert (refused.value.code, refused.value.fields["max_micro"]) == ("given_back", 40_000)
    scene.uphold(second, 40_000)
    assert (scene.given_back(), scene.owed()) == (100_000, [21_000, 21_000])
    assert posting.recompute() == []


def test_a_statements_dispute_upheld_is_checked_too(scene: Scene):
    owner = scene.nodes[0].vehicle.owner
    statements.close_due(until=timezone.now() + timedelta(seconds=1))
    dispute = disputes.open_statement(
        owner=owner,
        statement=owner.statements.get(),
        reason="An hour is missing.",
        claimed_micro=5_000,
        idempotency_key="s",
        actor=owner.user,
    )
    before = scene.owed()[0]
    scene.uphold(dispute, 4_000, "platform")
    assert scene.owed()[0] == before + 4_000
    assert posting.recompute(["granted", "corrections", "given_back"]) == []


UPHOLD = (
    "UPDATE billing_dispute SET status = 'upheld', decided_at = now(), bearer = 'platform',"
    " granted_micro = {}, granted_promo_micro = {} WHERE status = 'open'"
)
VOID = (
    "INSERT INTO billing_usagevoid (public_id, created_at, rated_id, reason, promo_micro)"
    " SELECT gen_random_uuid(), now(), min(id), 'x', {} FROM billing_ratedusage"
)


def test_raw_sql_gives_back_no_more_than_was_charged(scene: Scene):
    scene.open()
    assert sqlstate_of(f"{VOID.format(0)}; {UPHOLD.format(50_001, 0)}") == "DW007"
    assert sqlstate_of(f"{UPHOLD.format(50_001, 0)}; {VOID.format(0)}") == "DW007"
    assert sqlstate_of(f"{UPHOLD.format(1, 0)}; {VOID.format(0)}") == "DW007"  # no void after an upheld dispute
    assert sqlstate_of(UPHOLD.format(100, 1)) == "DW007"  # promotional credit had paid nothing
    assert sqlstate_of(VOID.format(1)) == "DW007"
    assert sqlstate_of(f"{VOID.format(0)}; {UPHOLD.format(50_000, 0)}") == ""
    for change in ("granted_micro = 1", "granted_promo_micro = 1", "bearer = 'owner'"):
        assert sqlstate_of(f"UPDATE billing_dispute SET {change}") == "DW002"


def test_messages_come_from_both_sides_until_it_ends(scene: Scene):
    dispute = scene.open()
    disputes.add_message(dispute=dispute, text="Here is a sample.", author=scene.user, from_operator=False)
    disputes.add_message(dispute=dispute, text="Thank you, we look.", author=scene.opal, from_operator=True)
    assert Mail.objects.filter(kind="dispute-message", user=scene.user).count() == 1
    disputes.withdraw(dispute=dispute, actor=scene.user)
    with pytest.raises(DomainError) as refused:
        disputes.add_message(dispute=dispute, text="Too late", author=scene.user, from_operator=False)
    assert refused.value.code == "dispute_ended"


def test_the_back_office_shows_what_both_sides_wrote(scene: Scene):
    dispute = scene.open()
    disputes.add_message(dispute=dispute, text="Here is a <sample>.", author=scene.user, from_operator=False)
    disputes.add_message(dispute=dispute, text="Thank you, we look.", author=scene.opal, from_operator=True)
    client = Client()
    client.force_login(scene.opal)
    client.post("/operations/reason", {"category": "Support", "words": "answering a dispute"})
    page = client.get(f"/operations/billing/dispute/{dispute.pk}/change/").content.decode()
    assert "Here is a &lt;sample&gt;." in page
    assert "Thank you, we look." in page
