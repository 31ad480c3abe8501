"""Pages of a customer's jobs, with what each costs."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access.guards import may_move_money, organization_required, signed_in
from accounts.models import Organization
from billing.models import JobOrder, RateCard
from billing.views.usage import present_month
from billing.wallet import wallets
from compute import blobs
from compute.jobs.selectors import job_progress
from compute.models import InferenceJob, ModelArtifact
from core.files import file_response
from core.locale import format_money

ROWS_SHOWN = 50
LABELS = {
    "queued": "Queued",
    "running": "Running",
    "assembling": "Putting results together",
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


@never_cache
@require_GET
@organization_required
def job_list(request: HttpRequest, organization: Organization) -> HttpResponse:
    """List the newest jobs and models beside the wallet and the month's cap."""
    orders = (
        JobOrder.objects.filter(organization=organization)
        .select_related("job__artifact")
        .order_by("-job_id")[:ROWS_SHOWN]
    )
    summary = wallets.summary(organization)
    models = ModelArtifact.objects.filter(organization=organization).order_by("-id")[:ROWS_SHOWN]
    context = {
        "month": present_month(organization),
        "jobs": [_row(order) for order in orders],
        "wallet": {
            "balance": format_money(summary.balance_micro, summary.currency),
            "held": format_money(summary.held_micro, summary.currency),
            "available": format_money(summary.available_micro, summary.currency),
        },
        "models": [_model(model) for model in models],
    }
    return render(request, "compute/job_list.html", context)


@never_cache
@require_GET
@organization_required
def job_detail(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show one job. With `?fragment` only its progress, which the page fetches again while the job runs."""
    order = get_object_or_404(
        JobOrder.objects.select_related("job__artifact", "rate_card"),
        organization=organization,
        job__public_id=public_id,
    )
    template = "compute/_job_progress.html" if "fragment" in request.GET else "compute/job_detail.html"
    may_dispute = order.job.finished_at is not None and may_move_money(signed_in(request))
    return render(request, template, {"job": _detail(order), "may_dispute": may_dispute})


@never_cache
@require_GET
@organization_required
def job_result(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponseBase:
    """Download the result of a completed job: the same file that the API serves."""
    completed = InferenceJob.objects.for_organization(organization).filter(status=InferenceJob.Status.COMPLETED)
    job = get_object_or_404(completed, public_id=public_id)
    return file_response(blobs.path_of(job.result_sha256), filename=f"{job.public_id}.safetensors")


def _row(order: JobOrder) -> dict[str, Any]:
    job, currency = order.job, order.organization.currency
    return {
        "public_id": job.public_id,
        "model_name": job.artifact.name,
        "status": job.status,
        "status_label": LABELS[job.status],
        "items": job.items,
        "units_total": job.units_total,
        "units_done": job.units_accepted,
        "fraction": job.units_accepted / job.units_total if job.units_total else 0,
        "charged": format_money(order.charged_micro, currency),
        "estimate_high": format_money(order.estimate_high_micro, currency),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _detail(order: JobOrder) -> dict[str, Any]:
    job, currency = order.job, order.organization.currency
    progress = job_progress(job)
    overhead = progress.copies_per_unit
    return {
        **_row(order),
        "cap": format_money(order.cap_micro if order.cap_micro is not None else order.held_micro, currency),
        "estimate_low": format_money(order.estimate_low_micro, currency),
        "tier": order.rate_card.get_tier_display(),
        "is_quorum": order.rate_card.tier == RateCard.Tier.QUORUM,
        "price_hour": format_money(order.price_micro_per_hour, currency, places=4),
        "price_kwh": format_money(order.price_micro_per_kwh, currency, places=4),
        "units_active": progress.attempts.get("leased", 0) + progress.attempts.get("reported", 0),
        "attempts_by_outcome": sorted((status.capitalize(), n) for status, n in progress.attempts.items()),
        "replication_overhead": f"{overhead:.2f} results per unit" if overhead else "",
        "nodes_active": progress.nodes_active,
        "result_url": reverse("job_result", args=[job.public_id]) if job.result_sha256 else "",
        "error": {"code": job.status_code, "message": job.message}
        if job.status == InferenceJob.Status.FAILED
        else None,
        "events": [{"at": event.at, "label": LABELS[event.to_status]} for event in job.events.all()],
    }


def _model(model: ModelArtifact) -> dict[str, Any]:
    return {
        "name": model.name,
        "sha256": model.sha256,
        "status": model.status,
        "status_label": model.get_status_display(),
        "reason": model.message,
        "size": f"{model.size_bytes / 1_000_000:.1f} MB",
        "created_at": model.created_at,
    }
