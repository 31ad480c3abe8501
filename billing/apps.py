from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the nouns to the registries of the floors below them."""
        from billing import wiring  # needs all models

        wiring.connect()
