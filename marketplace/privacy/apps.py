"""The Django app of `marketplace.privacy`."""

from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    """An app without models: its pages, commands and tasks need all other apps at once."""

    name = "marketplace.privacy"
    label = "privacy"
