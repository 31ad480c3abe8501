from tests.conformance.fixture import stripe

__all__ = ["stripe"]
