from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from accounts.views import access_reason
from billing.webhooks import stripe_webhook
from marketplace.operations import operations_site
from marketplace.views import (
    activity,
    api_docs,
    customer,
    leaving,
    pairing,
    policy,
    privacy,
    public,
    settings,
    transfer,
    vehicles,
    wallet,
)

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
    path("vehicles/claim", transfer.vehicle_claim, name="vehicle_claim"),
    path("vehicles/<uuid:public_id>/sold", transfer.vehicle_sold, name="vehicle_sold"),
    path("privacy/", privacy.privacy, name="privacy"),
    path("privacy/export", privacy.export_request, name="export_request"),
    path("privacy/exports/<uuid:public_id>", privacy.export_download, name="export_download"),
    path("privacy/erasure", leaving.erasure_request, name="erasure_request"),
    path("privacy/erasure/cancel/<str:token>", leaving.erasure_cancel, name="erasure_cancel"),
    path("privacy/erasures/<uuid:public_id>", privacy.erasure_proof, name="erasure_proof"),
    path("privacy/close", leaving.account_close, name="account_close"),
    path("privacy/reopen", leaving.account_reopen, name="account_reopen"),
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
    path("operations/reason", access_reason.state, name="access_reason"),
    path("operations/reason/end", access_reason.end, name="access_reason_end"),
    path("operations/", operations_site().urls),
    path("api/v1/", include("compute.api.urls")),
    path("api/v1/", include("billing.api.urls")),
    path("api/node/v1/", include("compute.api.node_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", api_docs.api_docs, name="api_docs"),
]
