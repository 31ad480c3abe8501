"""Consent records and their receipts as documents: built, signed and verified here without a database."""
