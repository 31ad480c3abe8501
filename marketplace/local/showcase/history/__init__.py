"""The made-up month of the showcase: 34 days of work before the first `make run`, made once, in seconds.

All of it goes through the site's own services under every rule of the database: orders, leases, signed reports,
verification, settlement, statements, invoices, disputes. Only its times are changed afterwards, by the owner of the
tables (backdating.py). So the ledger adds up, and `driveway-verify` recomputes the statements from records that carry a
signature of those days. One transaction holds it: it is there as a whole or not at all, and nobody sees a part of it.

The computers that did the work are made up too (computers.py). They are retired at the end, and the real agents take
their place.
"""
