"""Refuse models by their structure alone, before onnx's checker or onnxruntime reads them.

Those cannot be trusted with every model: the checker accepts unknown domains and hangs on nested functions, and
onnxruntime crashes on chained functions and opens external files from the working directory. This module runs in the
limited child process.
"""

import math
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from compute.artifacts.onnx.functions import Key, check_functions, function_key
from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.verdict import Refused
from compute.artifacts.onnx.walk import Place, fields_of, nodes_in, walk

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
MICROSOFT_DOMAIN = "com.microsoft"
LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
# Fields with free text instead of names; exporters write stack traces into them.
_FREE_TEXT = frozenset({"doc_string", "value", "denotation", "producer_name", "producer_version"})


def parse_model(data: bytes) -> ModelProto:
    """Parse a model from its bytes. Raise Refused(``not_onnx``)."""
    # onnxruntime reads any bytes with this mark as its own flatbuffer format. A file that is valid in both formats
    # would have one content checked and another one run.
    if data[4:8] == b"ORTM":
        raise Refused("not_onnx", "The file is in onnxruntime's own format. Upload the ONNX model.")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise Refused("not_onnx", "The file is not a complete ONNX model.") from error
    if not model.HasField("graph") or not model.graph.node:
        raise Refused("not_onnx", "The file is not a complete ONNX model.")
    return model


def check_structure(model: ModelProto, limits: Limits) -> None:
    """Raise Refused for anything that must not reach the checker or the runtime."""
    _check_versions(model, limits)
    if model.training_info:
        raise Refused("training_info", "The model carries training information. Export it for inference.")
    nodes = 0
    for place in walk(model):
        nodes += isinstance(place.message, NodeProto)
        _check_nodes(nodes, limits)
        _check_place(place, limits)
    functions = check_functions(model, limits)
    _check_operators(model, functions, limits)


def _check_versions(model: ModelProto, limits: Limits) -> None:
    _check_range("ir_version", "ONNX IR", model.ir_version, limits.ir_versions)
    imports = [
        *model.opset_import,
        *(entry for function in model.functions for entry in function.opset_import),
    ]
    for entry in imports:
        if entry.domain in {"", "ai.onnx"}:
            _check_range("opset_version", "ONNX opset", entry.version, limits.opset_versions)
        elif entry.domain == "ai.onnx.ml":
            _check_range("opset_version", "ai.onnx.ml opset", entry.version, limits.ml_opset_versions)


def _check_range(code: str, what: str, version: int, allowed: tuple[int, int]) -> None:
    if not allowed[0] <= version <= allowed[1]:
        raise Refused(
            code,
            f"The model uses {what} version {version}; versions {allowed[0]} to {allowed[1]} can run here.",
        )


def _check_nodes(count: int, limits: Limits) -> None:
    if count > limits.nodes:
        raise Refused("too_many_nodes", f"The model has more than {limits.nodes:,} operators.")


def _check_place(place: Place, limits: Limits) -> None:
    if place.depth > limits.graph_depth:
        raise Refused("nesting_too_deep", f"The model nests graphs more than {limits.graph_depth} deep.")
    _check_names(place.message, limits)
    check = _CHECKS.get(place.message.DESCRIPTOR.full_name)
    if check is not None:
        check(place.message, limits)


def _check_names(message: Message, limits: Limits) -> None:
    for field in fields_of(message.DESCRIPTOR).strings:
        value = getattr(message, field.name)
        for name in value if field.is_repeated else (value,):
            # protobuf (upb) returns bytes for a string that is not UTF-8.
            if isinstance(name, bytes):
                raise Refused("name_not_utf8", "The model contains a name that is not UTF-8 text.")
            if len(name) * 4 > limits.name_bytes and field.name not in _FREE_TEXT:
                _check_length(name, limits)


def _check_length(name: str, limits: Limits) -> None:
    if len(name.encode()) > limits.name_bytes:
        raise Refused("name_too_long", f"The model contains a name longer than {limits.name_bytes} bytes.")


def _check_tensor(tensor: TensorProto, limits: Limits) -> None:
    if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
        raise Refused(
            "external_data",
            "The model keeps data in another file. Save it as one file, with its weights inside.",
        )
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > limits.tensor_elements:
        raise Refused("tensor_too_large", f"The model has a tensor of more than {limits.tensor_elements:,} elements.")


def _check_graph(graph: GraphProto, limits: Limits) -> None:
    _check_nodes(len(graph.node), limits)
    if graph.sparse_initializer:
        _refuse_sparse()


def _check_attribute(attribute: AttributeProto, _limits: Limits) -> None:
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        _refuse_sparse()


def _refuse_sparse(*_: object) -> None:
    raise Refused("sparse_tensor", "The model contains sparse tensors. Export it with dense weights.")


_CHECKS: dict[str, Callable[..., None]] = {
    "onnx.TensorProto": _check_tensor,
    "onnx.GraphProto": _check_graph,
    "onnx.AttributeProto": _check_attribute,
    "onnx.SparseTensorProto": _refuse_sparse,
    "onnx.TypeProto.SparseTensor": _refuse_sparse,
}


def _check_operators(model: ModelProto, functions: Mapping[Key, object], limits: Limits) -> None:
    for key in functions:
        if key[0] in STANDARD_DOMAINS or key[0] == MICROSOFT_DOMAIN:
            raise Refused("function_shadows_operator", "The model redefines a standard operator as a function.")
    for body in (model.graph, *model.functions):
        for node in nodes_in(body):
            if function_key(node) not in functions:
                _check_operator(node, limits)


def _check_operator(node: NodeProto, limits: Limits) -> None:
    name = node.op_type[:80]
    if node.domain == MICROSOFT_DOMAIN:
        if node.op_type not in limits.microsoft_operators:
            raise Refused("operator_not_allowed", f"The operator com.microsoft.{name} cannot run here.")
    elif node.domain not in STANDARD_DOMAINS:
        raise Refused("operator_domain", f"The operator {name} is from {node.domain[:80]}, which cannot run here.")
    elif node.op_type in LOOPS:
        raise Refused("loop", f"The model contains {name}. Loops cannot be priced in advance; unroll it.")
    elif node.op_type in RANDOM:
        raise Refused("random", f"The model contains {name}. Random results cannot be verified.")
