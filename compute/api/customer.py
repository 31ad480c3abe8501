"""`/api/v1/`: customers' models, input files and jobs. Billing has the endpoint that orders a job."""

import base64
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api_keys.request import organization_of
from compute import blobs, tensors
from compute.api.serializers import FileOut, JobOut, JobProgressOut, ModelOut
from compute.artifacts import artifacts
from compute.jobs import jobs
from compute.jobs.selectors import job_progress
from compute.models import InferenceJob, InputFile, ModelArtifact
from core.api import page_response
from core.errors import Conflict, InvalidInput
from core.files import file_response


class RawParser(BaseParser):
    """Pass a body of any media type on as a stream: the body of an upload is the file itself."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return stream


def progress_of(job: InferenceJob) -> dict[str, Any]:
    """Return the fields of `JobProgressOut`."""
    progress = asdict(job_progress(job))
    return {**JobOut(job).data, **progress}


class Models(APIView):
    """Upload a model, or list them."""

    required_scopes = {"GET": "jobs:read", "POST": "models:write"}
    parser_classes = [RawParser]

    @extend_schema(
        operation_id="models_upload",
        parameters=[OpenApiParameter("name", str, description="A name to show; a model is identified by its digest.")],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: ModelOut, 200: ModelOut},
    )
    def post(self, request: Request) -> Response:
        """Upload an ONNX file, which is the request's body. The same bytes again return the existing model with 200."""
        printable = filter(str.isprintable, request.query_params.get("name", ""))
        name = "".join(printable).strip()[:80] or "model"
        artifact, is_new = artifacts.upload_model(organization=organization_of(request), name=name, stream=request)  # type: ignore[arg-type] # has read()
        return Response(ModelOut(artifact).data, status=201 if is_new else 200)

    @extend_schema(operation_id="models_list", responses=ModelOut(many=True))
    def get(self, request: Request) -> Response:
        return page_response(self, request, ModelArtifact.objects.for_organization(organization_of(request)), ModelOut)


class ModelDetail(APIView):
    required_scope = "jobs:read"

    @extend_schema(operation_id="models_get", responses=ModelOut)
    def get(self, request: Request, public_id: UUID) -> Response:
        """Return a model. Its admission is finished when `status` is admitted or refused."""
        mine = ModelArtifact.objects.for_organization(organization_of(request))
        return Response(ModelOut(get_object_or_404(mine, public_id=public_id)).data)


class Files(APIView):
    """Upload an input file, or list them."""

    required_scopes = {"GET": "jobs:read", "POST": "jobs:write"}
    parser_classes = [RawParser]

    @extend_schema(
        operation_id="files_upload",
        parameters=[OpenApiParameter("format", str, enum=["npy", "safetensors"], required=True)],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: FileOut, 200: FileOut},
    )
    def post(self, request: Request) -> Response:
        """Upload an input file, which is the request's body.

        `.npy` is for models with one input, `.safetensors` for all models. The first axis counts items.
        """
        file, is_new = artifacts.upload_input(
            organization=organization_of(request),
            file_format=request.query_params.get("format", ""),
            stream=request,  # type: ignore[arg-type] # has read()
        )
        return Response(FileOut(file).data, status=201 if is_new else 200)

    @extend_schema(operation_id="files_list", responses=FileOut(many=True))
    def get(self, request: Request) -> Response:
        return page_response(self, request, InputFile.objects.for_organization(organization_of(request)), FileOut)


class JobDetail(APIView):
    required_scope = "jobs:read"

    @extend_schema(operation_id="jobs_get", responses=JobProgressOut)
    def get(self, request: Request, public_id: UUID) -> Response:
        return Response(progress_of(requested_job(request, public_id)))


class JobCancel(APIView):
    required_scope = "jobs:write"

    @extend_schema(operation_id="jobs_cancel", request=None, responses=JobOut)
    def post(self, request: Request, public_id: UUID) -> Response:
        """Cancel the job. Valid work stays charged; the rest of the hold is released. Repeating it changes nothing."""
        return Response(JobOut(jobs.cancel_job(job=requested_job(request, public_id))).data)


class JobResult(APIView):
    required_scope = "jobs:read"

    @extend_schema(
        operation_id="jobs_result",
        parameters=[
            OpenApiParameter("as", str, enum=["safetensors", "npy"], description="Default safetensors."),
            OpenApiParameter("output", str, description="Name of the output, for as=npy. Default: the only one."),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        """Download the results of all items in input order, one row for each item."""
        job = requested_job(request, public_id)
        if job.status != InferenceJob.Status.COMPLETED:
            raise Conflict(f"The job is {job.status}: there is no result.", code="result_not_ready")
        wanted = request.query_params.get("as", tensors.SAFETENSORS)
        if wanted not in (tensors.NPY, tensors.SAFETENSORS):
            raise InvalidInput("The format of a result must be safetensors or npy.", code="format_unknown")
        path = blobs.path_of(job.result_sha256)
        if wanted == tensors.SAFETENSORS:
            response = file_response(path, filename=f"{job.public_id}.safetensors")
            response["Repr-Digest"] = f"sha-256=:{_base64(job.result_sha256)}:"
            return response
        return _npy(path, job, request.query_params.get("output"))


def requested_job(request: Request, public_id: UUID) -> InferenceJob:
    """Return a job of the organization that signed in. Raise Http404 for any other."""
    mine = InferenceJob.objects.for_organization(organization_of(request)).select_related("artifact", "input_file")
    return get_object_or_404(mine, public_id=public_id)  # type: ignore[no-any-return]


def _npy(path: Path, job: InferenceJob, output: str | None) -> HttpResponse:
    names = [spec["name"] for spec in job.artifact.outputs]
    if output is None and len(names) > 1:
        raise InvalidInput("Name one of the outputs.", code="output_unknown", outputs=names)
    data = tensors.as_npy(path, output or names[0])
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{job.public_id}.npy"'
    response["Repr-Digest"] = f"sha-256=:{_base64(hashlib.sha256(data).hexdigest())}:"
    return response


def _base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
