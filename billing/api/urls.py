"""URLs below `/api/v1/` about money. Must be included last, since the last pattern matches everything."""

from django.urls import path, re_path

from billing.api import invoices, jobs, recharges, refunds, top_ups, usage, usage_events, wallet

urlpatterns = [
    path("estimates", jobs.Estimates.as_view(), name="api_estimates"),
    path("prices", jobs.Prices.as_view(), name="api_prices"),
    path("jobs", jobs.Jobs.as_view(), name="api_jobs"),
    path("wallet", jobs.Wallet.as_view(), name="api_wallet"),
    path("wallet/top-ups", top_ups.TopUps.as_view(), name="api_top_ups"),
    path("wallet/top-ups/<uuid:public_id>", top_ups.TopUp.as_view(), name="api_top_up"),
    path("usage", usage.Usage.as_view(), name="api_usage"),
    path("usage/events", usage_events.UsageEvents.as_view(), name="api_usage_events"),
    path("invoices", invoices.Invoices.as_view(), name="api_invoices"),
    path("invoices/<uuid:public_id>", invoices.InvoiceDetail.as_view(), name="api_invoice"),
    path("invoices/<uuid:public_id>.pdf", invoices.InvoicePdf.as_view(), name="api_invoice_pdf"),
    path("wallet/spend-cap", wallet.SpendCap.as_view(), name="api_spend_cap"),
    path("wallet/auto-recharge", recharges.AutoRecharge.as_view(), name="api_auto_recharge"),
    path("wallet/refunds", refunds.Refunds.as_view(), name="api_refunds"),
    re_path(r"^.*$", jobs.UnknownPath.as_view(), name="api_nothing"),  # must be last
]
