"""The site's URLs where mails go to a folder: the tests' own settings have none."""

from django.urls import include, path

from marketplace.urls import handler500
from marketplace.urls import urlpatterns as site

__all__ = ["handler500", "urlpatterns"]
urlpatterns = [*site, path("mails/", include("marketplace.mailbox.urls"))]
