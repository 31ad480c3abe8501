from django.urls import path

from accounts.views import api_keys, consents

urlpatterns = [
    path("vehicles/stop", consents.consent_withdraw_all, name="consent_withdraw_all"),
    path("vehicles/<uuid:public_id>/consents/<slug:purpose>", consents.consent_decide, name="consent_decide"),
    path("vehicles/<uuid:public_id>/consents", consents.consent_history, name="consent_history"),
    path("notices/<slug:purpose>/<int:version>", consents.consent_notice, name="consent_notice"),
    path("keys/", api_keys.api_key_list, name="api_keys"),
    path("keys/new", api_keys.api_key_create, name="api_key_create"),
    path("keys/<uuid:public_id>/revoke", api_keys.api_key_revoke, name="api_key_revoke"),
]
