"""`/api/v1/usage/events`: a customer's usage records as CloudEvents 1.0, in the JSON batch format."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from billing.usage import events as usage_events
from billing.usage.events import PAGE_MAX

PAGE_DEFAULT = 100


class BatchRenderer(JSONRenderer):
    """Accept requests for the CloudEvents batch type. The view returns finished bytes, so nothing is rendered here."""

    media_type = usage_events.CONTENT_TYPE


class UsageEventsQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=PAGE_MAX, default=PAGE_DEFAULT)
    cursor = serializers.CharField(max_length=100, default="")
    job = serializers.UUIDField(default=None)
    type = serializers.ChoiceField([usage_events.RECORDED, usage_events.VOIDED], default=None)


class UsageEvents(APIView):
    required_scope = "jobs:read"
    renderer_classes = [JSONRenderer, BatchRenderer]

    @extend_schema(
        operation_id="usage_events_list",
        parameters=[
            OpenApiParameter(
                "limit", int, description=f"Events on a page. Default: {PAGE_DEFAULT}; at most {PAGE_MAX}."
            ),
            OpenApiParameter("cursor", str, description="From the Link header of the page before."),
            OpenApiParameter("job", OpenApiTypes.UUID, description="Only events of this job."),
            OpenApiParameter("type", str, enum=[usage_events.RECORDED, usage_events.VOIDED]),
        ],
        responses={(200, usage_events.CONTENT_TYPE): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> HttpResponse:
        """List what was charged, an event for each usage record, newest order first.

        `Link: <...>; rel="next"` leads to the next page. An event keeps its id for ever: ignore ids that you have seen.
        A void is an event of its own with negative amounts; its `data.voids` is the id of the event that it cancels.
        `source` names the computer by an alias that is valid for one job.
        """
        wanted = UsageEventsQuery(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        asked = wanted.validated_data
        page = usage_events.page(
            organization_of(request),
            limit=asked["limit"],
            cursor=asked["cursor"],
            job=asked["job"],
            kinds=[asked["type"]] if asked["type"] else [],
        )
        response = HttpResponse(usage_events.as_batch(page.events), content_type=usage_events.CONTENT_TYPE)
        if page.next_cursor:
            query = request.query_params.copy()
            query["cursor"] = page.next_cursor
            address = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
            response["Link"] = f'<{address}>; rel="next"'
        return response

    def handle_exception(self, error: Exception) -> Response:
        """Answer errors as JSON in the API's usual form, whatever type the client asked for."""
        # Otherwise the error would be sent with the content type that the client asked for.
        response = super().handle_exception(error)
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return response
