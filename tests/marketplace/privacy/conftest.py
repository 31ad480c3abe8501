"""Zenobia, an owner with every kind of data that can be held.

She has a car, consents, rules, work, money, mails and a second factor.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.db import connection
from django.utils import timezone
from redis import Redis

from accounts.mails import outbox
from accounts.models import Mail, Owner, OwnerPolicy, Vehicle
from accounts.vehicles import vehicles
from billing.orders import settlement
from compute.dispatch import verification
from tests import factories

EMAIL, NAME, VIN = "zenobia.quill@example.org", "Zenobia Quillfeather", "1M8GDM9AXKP042788"


@dataclass
class Person:
    """An owner with a vehicle and its agent."""

    owner: Owner
    vehicle: Vehicle
    car: factories.Car

    @property
    def user(self) -> Any:
        return self.owner.user


@pytest.fixture(autouse=True)
def _own_exports_and_redis(settings: Any, tmp_path: Path, worker_id: str) -> None:
    """Give each test its own export folder and Redis database.

    A search reads every key of Redis, which other tests and runs fill as well.
    """
    settings.EXPORT_ROOT = tmp_path / "exports"
    number = 15 if worker_id == "master" else 1 + int(worker_id.removeprefix("gw")) % 14
    settings.REDIS_URL = f"{settings.REDIS_URL.rpartition('/')[0]}/{number}"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
    Redis.from_url(settings.REDIS_URL).flushdb()


def make_person(email: str = EMAIL, name: str = NAME, vin: str = VIN) -> Person:
    """Create an owner with a car, consents, rules, a mail, a second factor and an availability history."""
    owner = factories.make_owner(email)
    type(owner.user).objects.filter(pk=owner.user_id).update(name=name)
    Owner.objects.filter(pk=owner.pk).update(name=name)
    owner = Owner.objects.select_related("user").get(pk=owner.pk)
    EmailAddress.objects.create(user=owner.user, email=email, verified=True, primary=True)
    Authenticator.objects.create(user=owner.user, type="totp", data={"secret": "x"})
    vehicle = vehicles.add_vehicle(owner=owner, label="Red car", make_model="Edsel", vin=vin, actor=owner.user)
    car = factories.make_node(vehicle)
    for purpose in ("run_jobs", "availability", "reliability", "region"):
        factories.decide(vehicle, "given", purpose)
    Vehicle.objects.filter(pk=vehicle.pk).update(region="US-CA")
    OwnerPolicy.objects.filter(vehicle=vehicle).update(windows=[[0, 60, 120]])
    outbox.queue(user=owner.user, kind="news", dedupe_key=f"news:{owner.pk}")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO compute_availabilityspan (node_id, vehicle_id, available, reason) VALUES (%s, %s, true, '')",
            [car.node.pk, vehicle.pk],
        )
        cursor.execute(
            "INSERT INTO compute_healthday"
            " (node_id, vehicle_id, day, reports_cool, reports_warm, reports_hot, units_failed)"
            " VALUES (%s, %s, now(), 1, 0, 0, 0)",
            [car.node.pk, vehicle.pk],
        )
    return Person(owner, Vehicle.objects.get(pk=vehicle.pk), car)


def work(person: Person) -> None:
    """Let the car compute one paid unit."""
    customer = factories.make_organization(wallet_micro=10_000_000)
    factories.make_ordered_job(customer, items=400, unit_items=400)
    cars = [person.car, factories.make_car()]
    for car in cars:
        car.sync(capacity=1)
    factories.dispatch.dispatch()
    for car in cars:
        leases = car.sync().leases
        car.sync(reports=tuple(car.report(lease, compute_ms=5_000, energy_mwh=20) for lease in leases))
    verification.verify()
    settlement.settle_usage()


@pytest.fixture
def zenobia(db: None) -> Person:
    person = make_person()
    work(person)
    return person


def last_mail_sent() -> None:
    """Mark the last mail as sent, as the outbox would."""
    Mail.objects.filter(kind="erasure-done").update(sent_at=timezone.now())
