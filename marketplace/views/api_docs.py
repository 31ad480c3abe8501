"""The API reference as a plain HTML page.

It loads no scripts from other sites, so the content security policy stays strict.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET
from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")


@require_GET
def api_docs(request: HttpRequest) -> HttpResponse:
    """Show every operation of the customers' API, grouped by resource, from the OpenAPI schema."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        if not path.startswith("/api/v1/"):
            continue
        for method in METHODS:
            if method in operations:
                groups.setdefault(path.split("/")[3], []).append(_operation(path, method, operations[method]))
    context = {"groups": groups, "info": schema["info"], "base_url": request.build_absolute_uri("/").rstrip("/")}
    return render(request, "api_docs.html", context)


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "description": operation.get("description", ""),
        "parameters": operation.get("parameters", []),
        "body": ", ".join(operation.get("requestBody", {}).get("content", {})),
        "answers": ", ".join(sorted(operation["responses"])),
    }
