"""Django's configuration of the app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the handlers of commands, events and approvals (billing/wiring)."""
        from billing import wiring  # not at the top: it imports models, which Django must have loaded first

        wiring.connect()
