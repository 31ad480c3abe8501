"""Energy of work as OCMF records (Open Charge Metering Format 1.4), which anybody's transparency software can check.

It is a format here, not a certificate: neither the cars' counters nor we are calibrated or certified (MID, Eichrecht).
"""
