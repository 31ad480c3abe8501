from django.urls import path

from accounts import views

urlpatterns = [
    path("vehicles/stop", views.consent_withdraw_all, name="consent_withdraw_all"),
    path("vehicles/<uuid:public_id>/consents/<slug:purpose>", views.consent_decide, name="consent_decide"),
    path("vehicles/<uuid:public_id>/consents", views.consent_history, name="consent_history"),
    path("notices/<slug:purpose>/<int:version>", views.consent_notice, name="consent_notice"),
    path("keys/", views.api_key_list, name="api_keys"),
    path("keys/new", views.api_key_create, name="api_key_create"),
    path("keys/<uuid:public_id>/revoke", views.api_key_revoke, name="api_key_revoke"),
]
