"""The state in which every run begins: two customers who have paid, two owners with a car and an account at Stripe
each, two operators, and some work.

It is made once and committed. A run is a transaction that is rolled back, on a copy of the fake's store.
"""

from dataclasses import dataclass, field

from django.utils import timezone

from accounts.models import Membership, Organization, Owner, User
from accounts.owners import registration
from billing.orders.closing import close_orders
from billing.orders.orders import order_job
from billing.orders.settlement import settle_usage
from billing.payouts import payouts
from billing.statements import statements
from billing.topups import top_ups
from compute.models import InputFile, ModelArtifact, Node
from marketplace.local.fake_stripe import FakeStripe
from tests.billing.helpers import (
    HOUR_MS,
    end_job,
    make_artifact,
    make_input,
    make_market,
    make_organization,
    make_usage,
    number,
)
from tests.billing.payouts.helpers import become
from tests.billing.payouts.helpers import begin as open_account
from tests.billing.topups.helpers import ask
from tests.conformance.fixture import FakeWorld
from tests.conformance.transport import to_fake

HOURLY_MICRO = 6_000_000  # dollars rather than cents, so that parts of a job's charge can be disputed
ITEMS = 1800  # a second each: half an hour


@dataclass
class Customer:
    """A customer with a member of finance, a model and an input file."""

    organization: Organization
    user: User
    artifact: ModelArtifact
    input_file: InputFile


@dataclass
class Scene:
    """The parties of a run, and the fake's store (`at_stripe`) as it is at the beginning."""

    nodes: list[Node]
    owners: list[Owner]
    customers: list[Customer]
    operators: list[User]
    at_stripe: bytes = field(repr=False)


def make_scene(stripe: FakeWorld) -> Scene:
    market = make_market(price=HOURLY_MICRO, top_up_micro=0)
    nodes = market.nodes
    owners = [node.vehicle.owner for node in nodes]
    for owner in owners:
        become(stripe, open_account(owner), "ready")
    operators = [User.objects.create(email=f"operator{number()}@example.com") for _ in range(2)]
    for operator in operators:
        registration.register_operator(user=operator, role="finance")
    customers = [_customer(organization) for organization in (market.organization, make_organization())]
    _history(stripe, nodes, customers)
    return Scene(nodes, owners, customers, operators, stripe.sql.serialize())


def _history(stripe: FakeWorld, nodes: list[Node], customers: list[Customer]) -> None:
    """Let each customer pay, and make three jobs: one that has ended, with statements and one of two payouts sent, one
    that is running, and one that has not begun.
    """
    for customer in customers:
        top_up = ask(customer.organization, 60_000_000, saves_card=True)
        top_ups.open_page(top_up)
        stripe.pay(top_up)
    stripe.deliver_all()
    stripe.run()
    for customer, units in ((customers[0], 2), (customers[1], 1), (customers[1], 0)):
        job = order_job(
            organization=customer.organization,
            artifact=customer.artifact,
            input_file=customer.input_file,
            unit_items=ITEMS,
        )
        for node in nodes[:units]:
            make_usage(job, node, compute_ms=HOUR_MS // 4)
        if units == 2:
            end_job(job, "completed")
            settle_usage()
            close_orders()
            statements.close_due(until=timezone.now())
            payouts.send_due(limit=1)
            stripe.run()


def begin(stripe: FakeWorld, scene: Scene) -> None:
    """Reset the fake to the state in which the scene was made."""
    stripe.fake = FakeStripe()
    stripe.sql.deserialize(scene.at_stripe)
    stripe.transport.send, stripe.transport.faults = to_fake(stripe.fake), []


def _customer(organization: Organization) -> Customer:
    user = User.objects.create(email=f"finance{number()}@example.com")
    Membership.objects.create(organization=organization, user=user, role="finance")
    return Customer(organization, user, make_artifact(organization), make_input(organization, items=ITEMS))
