"""`driveway-verify`: recompute a statement on the owner's own computer, from what the car signed to the paid cent.

Imports the standard library, cryptography, msgspec, `compute.protocol` and `billing.rates.formula`; nothing else of the
site, no Django, no network. docs/metering.md says what it proves and what it cannot prove.
"""
