from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from marketplace.operations import operations_site
from marketplace.views import activity, api_docs, customer, pairing, policy, public, settings, vehicles

handler500 = "marketplace.views.public.server_error"

urlpatterns = [
    path("", public.home, name="home"),
    path("healthz", public.healthz, name="healthz"),
    path("dashboard/", public.dashboard, name="dashboard"),
    path("vehicles/<uuid:public_id>/computer", pairing.node_replace, name="node_replace"),
    path("pair/", pairing.pair, name="pair"),
    path("pair/<str:code>", pairing.pair_confirm, name="pair_confirm"),
    path("vehicles/<uuid:public_id>/rules", policy.policy_edit, name="policy_edit"),
    path("vehicles/<uuid:public_id>/pause", policy.policy_pause, name="policy_pause"),
    path("vehicles/", vehicles.vehicle_list, name="vehicle_list"),
    path("vehicles/add", vehicles.vehicle_add, name="vehicle_add"),
    path("vehicles/<uuid:public_id>", vehicles.vehicle_detail, name="vehicle_detail"),
    path("vehicles/<uuid:public_id>/activity", activity.vehicle_activity, name="vehicle_activity"),
    path("vehicles/<uuid:public_id>/enrol", vehicles.vehicle_enrol, name="vehicle_enrol"),
    path("settings/", settings.owner_settings, name="owner_settings"),
    path("jobs/", customer.job_list, name="job_list"),
    path("jobs/<uuid:public_id>", customer.job_detail, name="job_detail"),
    path("jobs/<uuid:public_id>/result", customer.job_result, name="job_result"),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("operations/", operations_site().urls),
    path("api/v1/", include("compute.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("api/node/v1/", include("compute.api.node_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", api_docs.api_docs, name="api_docs"),
]
