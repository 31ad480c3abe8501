"""Every URL of the site, by app."""

from django.conf import settings
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from marketplace.operations import operations_site
from marketplace.views import api_docs, public, vehicles

handler500 = "marketplace.views.public.server_error"

urlpatterns = [
    path("", public.home, name="home"),
    path("healthz", public.healthz, name="healthz"),
    path("dashboard/", public.dashboard, name="dashboard"),
    path("vehicles/", vehicles.vehicle_list, name="vehicle_list"),
    path("vehicles/add", vehicles.vehicle_add, name="vehicle_add"),
    path("vehicles/<uuid:public_id>", vehicles.vehicle_detail, name="vehicle_detail"),
    path("vehicles/<uuid:public_id>/enrol", vehicles.vehicle_enrol, name="vehicle_enrol"),
    path("", include("accounts.urls")),
    path("", include("compute.urls")),
    path("", include("billing.urls")),
    path("", include("marketplace.privacy.urls")),
    path("accounts/", include("allauth.urls")),
    path("operations/", operations_site().urls),
    path("api/v1/", include("compute.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("api/node/v1/", include("compute.api.node_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", api_docs.api_docs, name="api_docs"),
]
if settings.MAIL_FOLDER:
    urlpatterns.append(path("mails/", include("marketplace.mailbox.urls")))
