"""The addresses below `/api/v1/` that belong to compute."""

from django.urls import path

from compute.api import customer

urlpatterns = [
    path("models", customer.Models.as_view(), name="api_models"),
    path("models/<uuid:public_id>", customer.ModelDetail.as_view(), name="api_model"),
    path("files", customer.Files.as_view(), name="api_files"),
    path("jobs/<uuid:public_id>", customer.JobDetail.as_view(), name="api_job"),
    path("jobs/<uuid:public_id>/cancel", customer.JobCancel.as_view(), name="api_job_cancel"),
    path("jobs/<uuid:public_id>/result", customer.JobResult.as_view(), name="api_job_result"),
]
