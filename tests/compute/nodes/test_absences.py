"""A car that has not synced for a day: its owner gets one mail for each absence."""

from datetime import timedelta

import pytest
from django.core import mail as post
from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Mail, Owner
from compute.models import Node, NodePresence
from compute.nodes import absences
from tests import factories

pytestmark = pytest.mark.django_db


def last_heard(ago, **where):
    NodePresence.objects.filter(**where).update(last_sync_at=timezone.now() - ago)


@pytest.fixture
def car():
    made = factories.make_car(factories.make_owner("alice@example.com"))
    made.sync()
    Mail.objects.all().delete()  # the mails about the pairing
    return made


def test_it_is_told_once_for_each_time(car):
    last_heard(timedelta(hours=25))
    assert [absences.queue_mails() for _ in range(3)] == [1, 0, 0]
    car.sync()
    assert absences.queue_mails() == 0
    last_heard(timedelta(hours=26))
    assert absences.queue_mails() == 1
    assert outbox.send_due() == 2
    assert post.outbox[0].subject == f"{car.node.vehicle.label} has not contacted us for a day"
    assert f"/vehicles/{car.node.vehicle.public_id}" in post.outbox[0].body


@pytest.mark.parametrize("ago", [timedelta(hours=23), timedelta(days=9)])
def test_not_too_early_and_not_too_late(car, ago):
    last_heard(ago)
    assert absences.queue_mails() == 0


def test_only_for_cars_that_are_wanted_at_work(car):
    last_heard(timedelta(days=2))
    Owner.objects.update(deactivated_at=timezone.now())
    assert absences.queue_mails() == 0
    Owner.objects.update(deactivated_at=None)
    Node.objects.update(status="suspended")
    assert absences.queue_mails() == 0
    Node.objects.update(status="active")
    factories.decide(car.node.vehicle, "withdrawn")
    assert absences.queue_mails() == 0


def test_a_node_that_was_never_heard_of_is_no_absence():
    factories.make_car()
    assert absences.queue_mails() == 0
    assert not Mail.objects.filter(kind="vehicle-away").exists()
