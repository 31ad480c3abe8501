from django.urls import path

from accounts.views import api_keys, consents, receipts, unsubscribe

urlpatterns = [
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
