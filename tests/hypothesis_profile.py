"""The Hypothesis profile, loaded on import: it judges what the code does, never how fast the machine draws examples."""

from hypothesis import HealthCheck, settings

settings.register_profile("driveway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("driveway")
