from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    """No models: the commands and tasks that need all apps at once."""

    name = "marketplace.privacy"
    label = "privacy"
