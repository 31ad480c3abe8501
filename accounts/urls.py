"""URLs of the pages about owners, their vehicles' rules and consents, and API keys."""

from django.urls import path

from accounts.views import access_reason, api_keys, consents, policy, receipts, settings, transfer, unsubscribe

urlpatterns = [
    path("vehicles/<uuid:public_id>/rules", policy.policy_edit, name="policy_edit"),
    path("vehicles/<uuid:public_id>/pause", policy.policy_pause, name="policy_pause"),
    path("settings/", settings.owner_settings, name="owner_settings"),
    path("vehicles/claim", transfer.vehicle_claim, name="vehicle_claim"),
    path("vehicles/<uuid:public_id>/sold", transfer.vehicle_sold, name="vehicle_sold"),
    path("operations/reason", access_reason.access_reason_form, name="access_reason"),
    path("operations/reason/end", access_reason.access_reason_end, name="access_reason_end"),
    path("consents/", consents.consent_centre, name="consent_centre"),
    path("consents/<slug:purpose>", consents.consent_decide_personal, name="consent_decide_personal"),
    path("vehicles/stop", consents.consent_withdraw_all, name="consent_withdraw_all"),
    path("vehicles/<uuid:public_id>/consents/<slug:purpose>", consents.consent_decide, name="consent_decide"),
    path("vehicles/<uuid:public_id>/consents", consents.consent_history, name="consent_history"),
    path("vehicles/<uuid:public_id>/region", consents.region_choose, name="region_choose"),
    path("notices/<slug:purpose>/<int:version>", consents.consent_notice, name="consent_notice"),
    path("receipts/", receipts.receipt_list, name="receipt_list"),
    path("receipts/verify", receipts.receipt_verify, name="receipt_verify"),
    path("receipts/<uuid:public_id>.jsonld", receipts.receipt, name="receipt"),
    path("unsubscribe/<str:token>", unsubscribe.unsubscribe, name="unsubscribe"),
    path("keys/", api_keys.api_key_list, name="api_keys"),
    path("keys/new", api_keys.api_key_create, name="api_key_create"),
    path("keys/<uuid:public_id>/revoke", api_keys.api_key_revoke, name="api_key_revoke"),
]
