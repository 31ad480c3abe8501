from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from billing.webhooks import stripe_webhook
from marketplace.operations import operations_site
from marketplace.views import api_docs, customer, owner, public, wallet

handler500 = "marketplace.views.public.server_error"

urlpatterns = [
    path("", public.home, name="home"),
    path("healthz", public.healthz, name="healthz"),
    path("dashboard/", public.dashboard, name="dashboard"),
    path("vehicles/", owner.vehicle_list, name="vehicle_list"),
    path("vehicles/add", owner.vehicle_add, name="vehicle_add"),
    path("vehicles/<uuid:public_id>/enrol", owner.vehicle_enrol, name="vehicle_enrol"),
    path("jobs/", customer.job_list, name="job_list"),
    path("jobs/<uuid:public_id>", customer.job_detail, name="job_detail"),
    path("jobs/<uuid:public_id>/result", customer.job_result, name="job_result"),
    path("wallet/", wallet.wallet, name="wallet"),
    path("wallet/top-ups", wallet.top_up_start, name="top_up_start"),
    path("wallet/top-ups/<uuid:public_id>", wallet.top_up_pay, name="top_up_pay"),
    path("wallet/top-ups/<uuid:public_id>/done", wallet.top_up_done, name="top_up_done"),
    path("wallet/top-ups/<uuid:public_id>/left", wallet.top_up_left, name="top_up_left"),
    path("stripe/webhook", stripe_webhook, name="stripe_webhook"),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("operations/", operations_site().urls),
    path("api/v1/", include("compute.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("api/node/v1/", include("compute.api.node_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", api_docs.api_docs, name="api_docs"),
]
