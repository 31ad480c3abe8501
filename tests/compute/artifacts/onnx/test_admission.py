"""Complete examinations in a limited child: ordinary models are admitted, hostile ones do no harm."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import compute.sandbox.bubblewrap
from compute.artifacts.onnx import admission
from compute.artifacts.onnx.admission import admit
from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.verdict import Verdict
from compute.sandbox import MEBIBYTE, FinishedChild, bubblewrap_argv
from tests.waiting import NEVER_S

# No examination is ended by its time limit, except in the tests of that limit.
QUICK = Limits(max_batch=8, cpu_seconds=60, wall_seconds=NEVER_S)
TIGHT = Limits(max_batch=8, cpu_seconds=60, wall_seconds=NEVER_S, memory_bytes=768 * MEBIBYTE)
HURRIED = replace(TIGHT, cpu_seconds=1)


def weights(name, *shape):
    return numpy_helper.from_array(np.random.default_rng(3).standard_normal(shape, np.float32), name)


def busy(build):
    """Return a model of a few hundred bytes that multiplies matrices for minutes."""
    size = numpy_helper.from_array(np.array([2000, 2000]), "s")
    nodes = [build.node("ConstantOfShape", ["s"], ["h0"])]
    nodes += [build.node("MatMul", [f"h{i}", f"h{i}"], [f"h{i + 1}"]) for i in range(400)]
    nodes += [build.node("ReduceSum", ["h400"], ["r"], keepdims=0), build.node("Add", ["x", "r"], ["y"])]
    return build.model(nodes, weights=[size])


def filled(build, elements):
    """Return a model of a hundred bytes with a constant tensor of any size."""
    size = numpy_helper.from_array(np.array([elements]), "s")
    nodes = [build.node("ConstantOfShape", ["s"], ["c"]), build.node("ReduceSum", ["c"], ["r"], keepdims=0)]
    return build.model([*nodes, build.node("Add", ["x", "r"], ["y"])], weights=[size])


def doublings(build, times):
    nodes = [build.node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=1) for i in range(1, times)]
    nodes.insert(0, build.node("Concat", ["x", "x"], ["v1"], axis=1))
    nodes += [build.node("ReduceMax", [f"v{times}"], ["y"], axes=[1])]
    return build.model(nodes, outputs=[build.value("y", ("N", 1))])


def endless_loop(build):
    trips = numpy_helper.from_array(np.array(2**62), "trips")
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    again = helper.make_tensor_value_info("d", TensorProto.BOOL, [])
    nodes = [build.node("Identity", ["c"], ["d"]), build.node("Abs", ["a"], ["b"])]
    body = helper.make_graph(nodes, "b", [count, condition, build.value("a")], [again, build.value("b")])
    return build.model([build.node("Loop", ["trips", "", "x"], ["y"], body=body)], weights=[trips])


def check(model, limits=QUICK, **keywords):
    return admit(model.SerializeToString(), limits=limits, **keywords)


class TestOrdinaryModels:
    def test_perceptron(self, build):
        nodes = [build.node("Gemm", ["x", "w"], ["h"]), build.node("Relu", ["h"], ["y"])]
        verdict = check(build.model(nodes, outputs=[build.value("y", ("N", 3))], weights=[weights("w", 4, 3)]))
        assert (verdict.admitted, verdict.code) == (True, "admitted"), verdict.message
        assert verdict.signature.inputs[0].shape == (None, 4)
        assert verdict.signature.outputs[0].shape == (None, 3)
        profile = verdict.profile
        assert profile.batch == 8
        assert 0 < profile.cpu_ms_per_item < 5
        assert profile.ms_per_item > 0
        assert profile.load_ms > 0
        assert 0 < profile.cpu_ms < 20_000
        assert 20 * MEBIBYTE < profile.peak_rss_bytes < 300 * MEBIBYTE
        assert (profile.input_bytes_per_item, profile.output_bytes_per_item) == (16, 12)
        assert verdict.onnxruntime_version == distribution("onnxruntime").version

    def test_convolution_exported_for_one_image(self, build):
        verdict = check(
            build.model(
                [build.node("Conv", ["x", "k"], ["y"], kernel_shape=[3, 3])],
                inputs=[build.value("x", (1, 3, 16, 16))],
                outputs=[build.value("y", (1, 2, 14, 14))],
                weights=[weights("k", 2, 3, 3, 3)],
            )
        )
        assert verdict.admitted, verdict.message
        assert verdict.signature.item_by_item
        assert verdict.signature.outputs[0].shape == (1, 2, 14, 14)
        assert verdict.profile.batch == 1

    def test_sequence_length_given_by_the_customer(self, build):
        model = build.model(
            [build.node("Abs", ["x"], ["y"])],
            inputs=[build.value("x", ("N", "length"))],
            outputs=[build.value("y", ("N", "length"))],
        )
        assert check(model).code == "dimension_not_fixed"
        verdict = check(model, fixed_dimensions={"length": 32})
        assert verdict.signature.outputs[0].shape == (None, 32)

    def test_magika(self):
        path = distribution("magika").locate_file("magika/models/standard_v3_3/model.onnx")
        verdict = admit(Path(path).read_bytes(), limits=QUICK)
        assert verdict.admitted, verdict.message
        assert [(spec.name, spec.dtype) for spec in verdict.signature.inputs] == [("bytes", "int32")]
        assert 0.5 < verdict.profile.cpu_ms_per_item < 500
        assert verdict.profile.ms_per_item > 0.5


class TestModelsThatMisbehave:
    def test_endless_loop(self, build):
        assert check(endless_loop(build)).code == "loop"

    def test_processor_hog(self, build):
        verdict = check(busy(build), HURRIED)
        assert (verdict.code, verdict.profile) == ("cpu_limit", None)

    def test_slow_by_the_clock(self, build):
        assert check(busy(build), Limits(wall_seconds=1.0)).code == "time_limit"

    @pytest.mark.parametrize("elements", [2**28, 2**40])
    def test_large_constants(self, build, elements):
        assert check(filled(build, elements), TIGHT).code == "memory_limit"

    def test_doubling_tensors(self, build):
        assert check(doublings(build, 36), TIGHT).code == "memory_limit"

    def test_function_chain_that_crashes_the_runtime(self, build):
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])])]
        functions += [build.function(f"F{i}", build.calls(f"F{i - 1}", 1)) for i in range(1, 3000)]
        model = build.model([build.node("F2999", ["x"], ["y"], domain="own")], functions=functions)
        assert check(model).code == "function_size"
        assert not check(model, Limits(functions=5000, function_depth=5000)).admitted

    def test_output_that_has_no_row_per_item(self, build):
        node = build.node("ReduceSum", ["x"], ["y"], keepdims=0)
        assert check(build.model([node], outputs=[build.value("y", ())])).code == "output_not_per_item"

    def test_output_that_depends_on_the_batch(self, build):
        nodes = [build.node("Transpose", ["x"], ["t"]), build.node("MatMul", ["x", "t"], ["y"])]
        model = build.model(nodes, outputs=[build.value("y", ("N", "N"))])
        assert check(model).code == "output_shape_varies"

    def test_random_by_the_back_door(self, build):
        half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
        yes = numpy_helper.from_array(np.array(True), "yes")
        model = build.model([build.node("Dropout", ["x", "half", "yes"], ["y"])], weights=[half, yes])
        assert check(model).code == "not_repeatable"

    def test_model_that_breaks_the_rules(self, build):
        verdict = check(build.model([build.node("Relu", ["nowhere"], ["y"])]))
        assert verdict.code == "invalid_model"
        assert "nowhere" in verdict.message

    def test_operator_without_an_implementation(self, build):
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        node = build.node("FastGelu", ["x", "x", "x", "x"], ["y"], domain="com.microsoft")
        verdict = check(build.model([node], opset_imports=opsets))
        assert verdict.code == "cannot_load"
        assert "/" not in verdict.message

    def test_garbage(self):
        assert admit(b"", limits=QUICK).code == "not_onnx"
        assert admit(np.random.default_rng(5).bytes(50_000), limits=QUICK).code == "not_onnx"

    def test_too_large_is_refused_without_a_child(self, monkeypatch):
        monkeypatch.setattr(admission, "run_child", None)
        assert admit(b"12345", limits=Limits(upload_bytes=4)).code == "too_large"


class TestEndings:
    """The verdicts for the ways in which a child can end."""

    def end(self, **how):
        default = {"returncode": 0, "stdout": b"", "stderr": b"", "wall_seconds": 1.0}
        return admission._verdict(FinishedChild(**{**default, "timed_out": False, "overflowed": False, **how}))

    def test_codes(self):
        assert self.end(returncode=-11).code == "crashed"
        assert self.end(returncode=139).code == "crashed"
        assert self.end(returncode=-24).code == "cpu_limit"
        assert self.end(returncode=137).code == "memory_limit"
        assert self.end(returncode=137, timed_out=True).code == "time_limit"
        assert self.end(returncode=-9, overflowed=True).code == "bad_verdict"
        assert self.end(returncode=200).code == "crashed"

    def test_a_fault_on_our_side_is_not_blamed_on_the_model(self):
        verdict = self.end(returncode=1)
        assert verdict.code == "admission_failed"
        assert verdict.retryable

    @pytest.mark.parametrize(
        "stdout",
        [
            b"",
            b"{",
            b"[]",
            b"\xff\xff",
            b'{"admitted": true, "code": "admitted", "message": "trust me"}',
            b'{"admitted": false, "code": "admitted", "message": ""}',
            b'{"admitted": "yes", "code": "admitted", "message": ""}',
        ],
    )
    def test_answers_that_are_no_verdict(self, stdout):
        assert self.end(stdout=stdout).code == "bad_verdict"

    @pytest.mark.parametrize(
        ("start", "code"),
        [
            ("import os; os.kill(os.getpid(), 11)", "crashed"),
            ("import os; os.abort()", "crashed"),
            ("print('admitted')", "bad_verdict"),
            ("while True: print('x' * 10_000)", "bad_verdict"),
            ("import no_such_module", "admission_failed"),
        ],
    )
    def test_real_children(self, monkeypatch, start, code):
        monkeypatch.setattr(admission, "_START", start)
        assert admit(b"model", limits=QUICK).code == code


class TestVerdict:
    def test_json_round_trip(self, build):
        verdict = check(build.relu())
        assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict

    def test_not_a_verdict(self):
        with pytest.raises(msgspec.ValidationError):
            Verdict.from_json({"admitted": 1})


class TestContainment:
    def test_the_parent_never_imports_the_parsers(self):
        code = (
            "import sys; from compute.artifacts.onnx.admission import admit; admit(b'no model');"
            "print([name for name in sys.modules if name.partition('.')[0] in"
            " {'onnx', 'onnxruntime', 'numpy', 'google'}])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_without_bubblewrap_the_limits_remain(self, build, monkeypatch):
        monkeypatch.setattr(compute.sandbox.bubblewrap.shutil, "which", lambda name: None)
        verdict = check(build.relu())
        assert verdict.admitted, verdict.message
        assert "bubblewrap" not in verdict.layers
        assert "rlimits" in verdict.layers
        assert check(filled(build, 2**28), TIGHT).code == "memory_limit"

    @pytest.mark.skipif(bubblewrap_argv() is None, reason="bubblewrap cannot be used here")
    def test_with_bubblewrap(self, build):
        assert check(build.relu()).layers[0] == "bubblewrap"

    def test_onnxruntime_leaves_no_telemetry_behind(self, build, tmp_path):
        model = tmp_path / "model.onnx"
        model.write_bytes(build.relu().SerializeToString())
        home = tmp_path / "home"
        home.mkdir()
        code = "import sys, onnxruntime; onnxruntime.InferenceSession(open(sys.argv[1], 'rb').read())"
        environment = {**admission._ENVIRONMENT, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        subprocess.run([sys.executable, "-I", "-c", code, str(model)], env=environment, cwd=home, check=True)
        assert not list(home.rglob("*"))
