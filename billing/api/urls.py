from django.urls import path, re_path

from billing.api import recharges, top_ups, usage_events, views

urlpatterns = [
    path("estimates", views.Estimates.as_view(), name="api_estimates"),
    path("prices", views.Prices.as_view(), name="api_prices"),
    path("jobs", views.Jobs.as_view(), name="api_jobs"),
    path("wallet", views.Wallet.as_view(), name="api_wallet"),
    path("wallet/top-ups", top_ups.TopUps.as_view(), name="api_top_ups"),
    path("wallet/top-ups/<uuid:public_id>", top_ups.TopUp.as_view(), name="api_top_up"),
    path("usage/events", usage_events.UsageEvents.as_view(), name="api_usage_events"),
    path("wallet/auto-recharge", recharges.AutoRecharge.as_view(), name="api_auto_recharge"),
    re_path(r"^.*$", views.Nothing.as_view(), name="api_nothing"),  # the last of all under /api/v1/
]
