"""The trust chain of this site, read once from the environment."""

import os
from functools import lru_cache

from compute.nats.jwt import TrustChain


@lru_cache(maxsize=1)
def trust_chain() -> TrustChain | None:
    """Return the seeds of the vehicle link from NATS_*_SEED or the file NATS_TRUST_FILE; None if there is no link."""
    return TrustChain.from_environment(os.environ)
