from django.urls import path, re_path

from billing.api import views

urlpatterns = [
    path("estimates", views.Estimates.as_view(), name="api_estimates"),
    path("jobs", views.Jobs.as_view(), name="api_jobs"),
    path("wallet", views.Wallet.as_view(), name="api_wallet"),
    re_path(r"^.*$", views.Nothing.as_view(), name="api_nothing"),  # the last of all under /api/v1/
]
