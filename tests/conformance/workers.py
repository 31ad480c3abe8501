"""Both guards for a process that a test starts, so that its calls to the fake are checked as well."""

import pytest
import stripe as sdk

from tests.conformance import sdk_types
from tests.conformance.transport import GuardedTransport, to_server
from tests.waiting import PATIENCE_S

PATCH = pytest.MonkeyPatch()  # never undone: the process ends


def guard() -> None:
    """Install both guards. A call that Stripe would not accept raises, and the process ends with exit code 1."""
    transport = GuardedTransport(to_server(sdk.RequestsClient(timeout=PATIENCE_S)))
    PATCH.setattr("billing.stripe.gateway.client.http_client", lambda: transport)
    sdk_types.installed(PATCH).__enter__()
