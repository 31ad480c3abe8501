"""The database's table of transitions equals the transitions of the models."""

import pytest
from django.db import connection, models

from billing.models import Approval, CardDispute, ConnectedAccount, Dispute, Payout, Refund, SavedCard

pytestmark = pytest.mark.django_db
MACHINES: list[type[models.Model]] = [Approval, CardDispute, ConnectedAccount, Dispute, Payout, Refund, SavedCard]


@pytest.mark.parametrize("model", MACHINES, ids=lambda model: model._meta.model_name)
def test_the_database_knows_the_same_transitions(model: type[models.Model]):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT from_status, to_status FROM accounts_statetransition WHERE machine = %s", [model._meta.db_table]
        )
        assert set(cursor) == {(old, new) for old, news in model.TRANSITIONS.items() for new in news}
