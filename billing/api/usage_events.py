"""`/api/v1/usage/events`: a customer's usage as CloudEvents 1.0, in the JSON batch format."""

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
from billing.usage import events as usage_event_list
from billing.usage import events as usage_events
from billing.usage.events import PAGE_MAX

PAGE_DEFAULT = 100


class BatchRenderer(JSONRenderer):
    """Lets a client ask for this type; the answer is written as it is."""

    media_type = usage_events.CONTENT_TYPE


class Wanted(serializers.Serializer[Any]):
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
            OpenApiParameter("limit", int, description=f"Events of a page: {PAGE_DEFAULT}, at most {PAGE_MAX}."),
            OpenApiParameter("cursor", str, description="As the Link header of the page before gives it."),
            OpenApiParameter("job", OpenApiTypes.UUID, description="Of this job only."),
            OpenApiParameter("type", str, enum=[usage_events.RECORDED, usage_events.VOIDED]),
        ],
        responses={(200, usage_events.CONTENT_TYPE): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> HttpResponse:
        """What was charged, record by record: newest order first. `Link: <...>; rel="next"` leads to the next page.

        An event keeps its id for ever: drop what you have seen. A void is an event of its own with negative amounts; its
        `data.voids` is the id of the first. `source` names the computer by an alias that is good for one job.
        """
        wanted = Wanted(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        asked = wanted.validated_data
        page = usage_event_list.page(
            organization_of(request),
            limit=asked["limit"],
            cursor=asked["cursor"],
            job=asked["job"],
            kinds=[asked["type"]] if asked["type"] else [],
        )
        response = HttpResponse(usage_event_list.as_batch(page.events), content_type=usage_events.CONTENT_TYPE)
        if page.next_cursor:
            query = request.query_params.copy()
            query["cursor"] = page.next_cursor
            address = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
            response["Link"] = f'<{address}>; rel="next"'
        return response

    def handle_exception(self, error: Exception) -> Response:
        """A refusal has the shape and the type of every refusal."""
        response = super().handle_exception(error)
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return response
