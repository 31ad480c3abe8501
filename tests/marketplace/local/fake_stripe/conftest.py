"""The fixture `stripe` for these tests: the fake behind the guards of tests/conformance."""

from tests.conformance.fixture import stripe

__all__ = ["stripe"]
