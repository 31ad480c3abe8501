"""Pages about a vehicle's computer: pairing and replacing it, and its activity."""

from django.urls import path

from compute.views import activity, pairing

urlpatterns = [
    path("vehicles/<uuid:public_id>/computer", pairing.node_replace, name="node_replace"),
    path("pair/", pairing.pair, name="pair"),
    path("pair/<str:code>", pairing.pair_confirm, name="pair_confirm"),
    path("vehicles/<uuid:public_id>/activity", activity.vehicle_activity, name="vehicle_activity"),
]
