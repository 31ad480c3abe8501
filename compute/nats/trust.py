import os
from functools import lru_cache

from compute.nats.jwt import TrustChain


@lru_cache(maxsize=1)
def trust_chain() -> TrustChain | None:
    """The keys of the vehicle link: NATS_*_SEED, or the file NATS_TRUST_FILE; None where there is no link."""
    return TrustChain.from_environment(os.environ)
