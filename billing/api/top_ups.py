"""`/api/v1/wallet/top-ups`: start a top-up by card, and read the state of top-ups."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.idempotency import KEY_MAX_LENGTH
from accounts.api_keys.request import organization_of
from billing.api.jobs import IDEMPOTENCY_KEY
from billing.api.serializers import TopUpRequest, TopUpResponse
from billing.models import CardTopUp
from billing.topups import top_ups
from core.api import page_response
from core.errors import InvalidInput, NotFound


class TopUps(APIView):
    """Start a top-up, or list top-ups."""

    required_scopes = {"GET": "wallet:read", "POST": "wallet:write"}

    @extend_schema(operation_id="top_ups_list", responses=TopUpResponse(many=True))
    def get(self, request: Request) -> Response:
        """List your top-ups by card."""
        return page_response(
            self, request, CardTopUp.objects.filter(organization=organization_of(request)), TopUpResponse
        )

    @extend_schema(
        operation_id="top_ups_create",
        parameters=[IDEMPOTENCY_KEY],
        request=TopUpRequest,
        responses={201: TopUpResponse},
    )
    def post(self, request: Request) -> Response:
        """Open a page of Stripe's on which a person pays by card. The money is in the wallet when `status` is `paid`.

        Repeating the request with the same key and body returns the same top-up in its present state. While Stripe is
        unavailable, `status` is `created` and `checkout_url` is empty; we retry, so read the top-up again by its id.
        """
        key = request.headers.get("Idempotency-Key", "")
        if not key or len(key) > KEY_MAX_LENGTH:
            raise InvalidInput(
                f"Send an Idempotency-Key header of 1 to {KEY_MAX_LENGTH} characters.", code="idempotency_key_missing"
            )
        body = TopUpRequest(data=request.data)
        body.is_valid(raise_exception=True)
        # Not @idempotent: its transaction would still lock the row to which Stripe's answer must be written. The
        # service keeps the key itself.
        top_up = top_ups.start(
            organization=organization_of(request),
            amount_micro=body.validated_data["amount_micro"],
            idempotency_key=f"api:{key}",
            site_url=request.build_absolute_uri("/").rstrip("/"),
            actor=None,
        )
        top_ups.open_page(top_up)
        top_up.refresh_from_db()
        return Response(TopUpResponse(top_up).data, status=201)


class TopUp(APIView):
    required_scope = "wallet:read"

    @extend_schema(operation_id="top_ups_get", responses=TopUpResponse)
    def get(self, request: Request, public_id: UUID) -> Response:
        """Return one top-up."""
        top_up = CardTopUp.objects.filter(organization=organization_of(request), public_id=public_id).first()
        if top_up is None:
            raise NotFound("No such top-up.", top_up=str(public_id))
        return Response(TopUpResponse(top_up).data)
