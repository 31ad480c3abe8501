"""Limits on models, and on the cost of examining them."""

from dataclasses import dataclass

from compute.sandbox import MEBIBYTE

# Operators of com.microsoft that only compute, as quantisation and transformer export tools produce them.
# Not allowed on purpose: EPContext (opens files), generation loops (BeamSearch, Sampling), tokenizers.
_MICROSOFT_OPERATORS = frozenset(
    {
        "Attention",
        "BiasAdd",
        "BiasGelu",
        "BiasSoftmax",
        "BiasSplitGelu",
        "DequantizeLinear",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "EmbedLayerNormalization",
        "FastGelu",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gelu",
        "GroupNorm",
        "GroupQueryAttention",
        "Inverse",
        "LayerNormalization",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MultiHeadAttention",
        "NhwcMaxPool",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearReduceMean",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QLinearWhere",
        "QOrderedMatMul",
        "QuantizeLinear",
        "QuickGelu",
        "RotaryEmbedding",
        "SimplifiedLayerNormalization",
        "SkipGroupNorm",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
        "Trilu",
    }
)


@dataclass(frozen=True)
class Limits:
    """All limits of admission. Ranges include both ends."""

    upload_bytes: int = 256 * MEBIBYTE
    ir_versions: tuple[int, int] = (3, 13)  # 13 is the newest that onnxruntime 1.31 loads
    opset_versions: tuple[int, int] = (7, 26)  # onnxruntime guarantees 7 and later; 1.31 loads up to 26
    ml_opset_versions: tuple[int, int] = (1, 5)
    microsoft_operators: frozenset[str] = _MICROSOFT_OPERATORS
    nodes: int = 20_000
    graph_depth: int = 8
    functions: int = 2_000
    function_depth: int = 10
    expanded_nodes: int = 20_000
    tensor_elements: int = 2**31
    name_bytes: int = 256
    inputs_and_outputs: int = 64
    item_bytes: int = 64 * MEBIBYTE  # all inputs of one item, or all outputs of one item
    trial_batch: int = 8
    max_batch: int = 64
    trial_run_seconds: float = 1.0  # processor time; a larger batch is tried only if its run is expected to take less
    memory_bytes: int = 2048 * MEBIBYTE
    cpu_seconds: int = 60
    wall_seconds: float = 120.0


DEFAULT_LIMITS = Limits()
