"""The addresses below `/api/node/v1/`."""

from django.urls import path, re_path

from compute.api import node

urlpatterns = [
    path("enrol", node.enrol, name="node_enrol"),
    path("pairings", node.pairing, name="node_pairing"),
    path("credentials", node.credentials, name="node_credentials"),
    path("withdrawals", node.withdraw, name="node_withdrawals"),
    path("sync", node.synchronize, name="node_sync"),
    path("blobs/<str:sha256>", node.blob, name="node_blob"),
    path("attempts/<int:attempt>/result", node.result, name="node_result"),
    re_path(r"^(?P<rest>.*)$", node.unknown_path, name="node_nothing"),
]
