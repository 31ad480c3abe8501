"""`make demo`: the main job, end to end, on real input, through the same doors that strangers use.

Owners act through the portal, the customer through the HTTP API, cars through their agent processes. Only people's accounts
and the first top-up are seeded. The report at the end is read back from the database.
"""
