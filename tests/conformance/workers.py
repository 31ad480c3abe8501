"""Both guards, in a process that a test starts: what it asks of the fake is checked there too."""

import pytest
import stripe as sdk

from tests.conformance import sdk_types
from tests.conformance.transport import GuardedTransport, to_server
from tests.waiting import PATIENCE_S

PATCH = pytest.MonkeyPatch()  # never undone: the process ends


def guard() -> None:
    """A call that Stripe would not take raises; the process ends with 1."""
    transport = GuardedTransport(to_server(sdk.RequestsClient(timeout=PATIENCE_S)))
    PATCH.setattr("billing.stripe.gateway.client.http_client", lambda: transport)
    sdk_types.installed(PATCH).__enter__()
