"""Which members of a customer may write to its disputes: those who may move its money. Others can read."""

import pytest
from django.test import Client

from accounts.models import Membership
from billing.models import Dispute
from tests import factories
from tests.billing.disputes.test_disputes import Scene

pytestmark = pytest.mark.django_db
FORMS = ({"withdraw": "1"}, {"text": "One more thing."})


def colleague(scene: Scene, role: str) -> Client:
    user = factories.make_user()
    Membership.objects.create(organization=scene.customer, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("form", FORMS)
def test_a_developer_reads_a_dispute_and_does_nothing_about_it(form: dict[str, str]):
    scene = Scene()
    dispute = scene.open()
    client, where = colleague(scene, "developer"), f"/disputes/{dispute.public_id}"
    page = client.get(where)
    assert page.status_code == 200
    assert b"The results are wrong." in page.content
    assert b"Withdraw the dispute" not in page.content
    assert b'name="text"' not in page.content
    assert client.post(where, form).status_code == 403
    assert Dispute.objects.get().status == "open"
    assert not dispute.messages.exists()


def test_finance_adds_to_it_and_withdraws_it():
    scene = Scene()
    dispute = scene.open()
    client, where = colleague(scene, "finance"), f"/disputes/{dispute.public_id}"
    assert b"Withdraw the dispute" in client.get(where).content
    for form in reversed(FORMS):
        assert client.post(where, form).status_code == 302
    assert Dispute.objects.get().status == "withdrawn"
    assert dispute.messages.count() == 1
    for form, why in zip(FORMS, (b"cannot go from withdrawn", b"This dispute has ended."), strict=True):
        refused = client.post(where, form)
        assert (refused.status_code, why in refused.content) == (400, True)
    assert dispute.messages.count() == 1
