"""`driveway-verify`: from what the car signed to the cent on a statement, computed again on the owner's own computer.

Imports the standard library, cryptography, msgspec, `compute.protocol` and `billing.rates.formula`; nothing else of the site, no
Django, no network. docs/metering.md says what it proves and what it cannot.
"""
