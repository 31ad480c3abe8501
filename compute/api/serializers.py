"""The API's representation of models, files and jobs for customers."""

from typing import Any

from rest_framework import serializers

from compute.models import InferenceJob, InputFile, ModelArtifact


class TensorSpecOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    dtype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField(allow_null=True), help_text="null marks the item axis")


class ModelOut(serializers.Serializer[ModelArtifact]):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    status = serializers.CharField(help_text="uploaded, checking, admitted or refused")
    code = serializers.CharField(source="status_code", help_text="Code of the reason why it was refused.")
    message = serializers.CharField()
    inputs = TensorSpecOut(many=True)
    outputs = TensorSpecOut(many=True)
    batch = serializers.IntegerField(
        help_text="Items in one session run on a vehicle, counted from the start of each unit. Runtimes round"
        " differently for other batch sizes: use this one to compare results bit for bit."
    )
    us_per_item = serializers.IntegerField(help_text="CPU microseconds per item in the trial run.")
    memory_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class FileOut(serializers.Serializer[InputFile]):
    id = serializers.UUIDField(source="public_id")
    sha256 = serializers.CharField()
    size_bytes = serializers.IntegerField()
    format = serializers.CharField()
    tensors = serializers.DictField()
    items = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class JobOut(serializers.Serializer[InferenceJob]):
    id = serializers.UUIDField(source="public_id")
    model = serializers.UUIDField(source="artifact.public_id")
    input_file = serializers.UUIDField(source="input_file.public_id")
    status = serializers.CharField(help_text="queued, running, assembling, completed, failed or cancelled")
    code = serializers.CharField(source="status_code")
    message = serializers.CharField()
    items = serializers.IntegerField()
    unit_items = serializers.IntegerField()
    units_total = serializers.IntegerField()
    units_accepted = serializers.IntegerField()
    priority = serializers.IntegerField()
    result_sha256 = serializers.CharField()
    result_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobProgressOut(JobOut):
    nodes_active = serializers.IntegerField(help_text="Vehicles that hold a lease of this job now.")
    attempts = serializers.DictField(child=serializers.IntegerField(), help_text="Attempts by status.")
    copies_per_unit = serializers.FloatField(allow_null=True, help_text="Valid results for each accepted unit.")
