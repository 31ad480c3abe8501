"""URLs of the pages on which owners see, export and erase what is held about them."""

from django.urls import path

from marketplace.privacy.views import account_closing, privacy

urlpatterns = [
    path("privacy/", privacy.privacy, name="privacy"),
    path("privacy/export", privacy.export_request, name="export_request"),
    path("privacy/exports/<uuid:public_id>", privacy.export_download, name="export_download"),
    path("privacy/erasure", account_closing.erasure_request, name="erasure_request"),
    path("privacy/erasure/cancel/<str:token>", account_closing.erasure_cancel, name="erasure_cancel"),
    path("privacy/erasures/<uuid:public_id>", privacy.erasure_proof, name="erasure_proof"),
    path("privacy/close", account_closing.account_close, name="account_close"),
    path("privacy/reopen", account_closing.account_reopen, name="account_reopen"),
]
