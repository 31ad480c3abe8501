"""`/api/v1/estimates`, `prices`, `jobs` and `wallet`: estimate, order and list jobs, and read the wallet's balance."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.idempotency import KEY_MAX_LENGTH, idempotent
from accounts.api_keys.request import organization_of
from accounts.models import ApiKey, Organization
from billing.api.serializers import (
    EstimateRequest,
    EstimateResponse,
    JobRequest,
    JobResponse,
    PriceResponse,
    WalletResponse,
)
from billing.orders import orders
from billing.rates import selectors
from billing.wallet import wallets
from compute.models import InferenceJob, InputFile, ModelArtifact
from core.api import page_response
from core.errors import NotFound

IDEMPOTENCY_KEY = OpenApiParameter(
    name="Idempotency-Key",
    location=OpenApiParameter.HEADER,
    required=True,
    description=f"1 to {KEY_MAX_LENGTH} characters. Repeating a key with the same body gives the same answer.",
)


class Estimates(APIView):
    required_scope = "jobs:read"

    @extend_schema(operation_id="estimates_create", request=EstimateRequest, responses={200: EstimateResponse})
    def post(self, request: Request) -> Response:
        """Estimate what a job would cost, as a range. Nothing is held in the wallet and no job starts."""
        body = EstimateRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, wanted = organization_of(request), body.validated_data
        items = wanted.get("items") or _input_file(organization, wanted["input_file"]).items
        artifact = _artifact(organization, wanted["model"])
        quote = orders.estimate(
            artifact=artifact, items=items, unit_items=wanted.get("unit_items"), tier=wanted["tier"]
        )
        return Response(EstimateResponse(quote).data)


class Prices(APIView):
    required_scope = "jobs:read"

    @extend_schema(operation_id="prices_list", responses=PriceResponse(many=True))
    def get(self, request: Request) -> Response:
        """List the prices in force in your currency: one for each class of vehicle computers, mode and tier.

        A job is priced at the most expensive class that may run it; the estimate contains that price. A new price never
        changes a job that was ordered before.
        """
        organization = organization_of(request)
        cards = selectors.price_list(timezone.now(), currency=organization.currency)
        return Response(PriceResponse(cards, many=True).data)


class Jobs(APIView):
    """Order a job, or list them."""

    required_scopes = {"GET": "jobs:read", "POST": "jobs:write"}

    @extend_schema(operation_id="jobs_list", responses=JobResponse(many=True))
    def get(self, request: Request) -> Response:
        """List your jobs."""
        jobs = InferenceJob.objects.for_organization(organization_of(request)).filter(order__isnull=False)
        related = ("artifact", "input_file", "order__rate_card")
        return page_response(self, request, jobs.select_related(*related), JobResponse)

    @extend_schema(
        operation_id="jobs_create",
        parameters=[IDEMPOTENCY_KEY],
        request=JobRequest,
        responses={201: JobResponse},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Order a job: hold the most that it may cost in the wallet, and queue it.

        The unused part is released at its end.
        """
        body = JobRequest(data=request.data)
        body.is_valid(raise_exception=True)
        organization, wanted = organization_of(request), body.validated_data
        job = orders.order_job(
            organization=organization,
            artifact=_artifact(organization, wanted["model"]),
            input_file=_input_file(organization, wanted["input_file"]),
            unit_items=wanted.get("unit_items"),
            cap_micro=wanted.get("cap_micro"),
            tier=wanted["tier"],
            api_key=request.auth if isinstance(request.auth, ApiKey) else None,
        )
        return Response(JobResponse(job).data, status=201)


class Wallet(APIView):
    required_scope = "wallet:read"

    @extend_schema(operation_id="wallet_get", responses=WalletResponse)
    def get(self, request: Request) -> Response:
        """Return the wallet's balance, what is held for jobs, and what may be spent."""
        return Response(WalletResponse(wallets.summary(organization_of(request))).data)


@extend_schema(exclude=True)
class UnknownPath(APIView):
    """Answer any other URL below `/api/v1/` with 404 in the API's usual form of errors."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise NotFound("There is nothing at this URL.")


def _artifact(organization: Organization, public_id: UUID) -> ModelArtifact:
    artifact: ModelArtifact | None = (
        ModelArtifact.objects.for_organization(organization).filter(public_id=public_id).first()
    )
    if artifact is None:
        raise NotFound("No such model.", model=str(public_id))
    return artifact


def _input_file(organization: Organization, public_id: UUID) -> InputFile:
    input_file: InputFile | None = InputFile.objects.for_organization(organization).filter(public_id=public_id).first()
    if input_file is None:
        raise NotFound("No such input file.", input_file=str(public_id))
    return input_file
