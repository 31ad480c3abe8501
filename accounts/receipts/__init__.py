"""Build, sign and verify consent records and their receipts as documents. Only `service` uses the database."""
