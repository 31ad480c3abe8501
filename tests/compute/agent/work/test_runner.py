"""The child process: correct results, hostile models, limits, and an end that leaves no process behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load, save

from compute.agent.work import process
from compute.agent.work.process import Child
from compute.agent.work.runner import Slot, Usage
from compute.sandbox import active_layers
from tests import waiting


@pytest.fixture
async def slot(tmp_path):
    made = Slot(tmp_path)
    yield made
    await made.close()


def is_gone(pid):
    """Return whether there is no such process, or only its zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # the process ended before its file was opened or read
        return True


async def test_results_are_right_in_order_and_batched(slot, models, make_unit, make_inputs):
    data = make_inputs(7, seed=1)
    unit = make_unit(models.double(), inputs=data, items=7, batch=3)
    usage = Usage()
    result = await slot.run(unit, usage)
    assert result.code == ""
    np.testing.assert_array_equal(load(result.data)["y"], load(data)["x"] * 2)
    assert 0 < usage.cpu_us < 2_000_000
    assert usage.cpu_us <= usage.wall_us * 1.5
    assert usage.peak_rss_bytes > 10 << 20
    assert usage.started_unix_ms <= usage.ended_unix_ms


async def test_a_child_serves_one_model_warm_and_never_a_second(slot, models, make_unit):
    first = make_unit(models.double("a"))
    cold, warm = Usage(), Usage()
    assert (await slot.run(first, cold)).message == ""
    pid = slot._child._pid
    assert (await slot.run(first, warm)).message == ""
    assert slot._child._pid == pid
    assert warm.cpu_us < cold.cpu_us, "the model is loaded once"
    assert (await slot.run(make_unit(models.double("b")), Usage())).message == ""
    assert slot._child._pid != pid
    assert is_gone(pid)


async def test_the_child_has_the_layers_that_are_reported(slot, models, make_unit):
    await slot.run(make_unit(models.double()), Usage())
    pid = slot._child._pid
    status = Path(f"/proc/{pid}/status").read_text()
    layers = active_layers()
    assert ("Seccomp:\t2" in status) is ("seccomp" in layers)
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "Max file size             0 " in limits
    namespace = Path(f"/proc/{pid}/ns/net").readlink()
    assert (namespace != Path("/proc/self/ns/net").readlink()) is ("bubblewrap" in layers)


async def test_telemetry_is_off_and_nothing_of_ours_is_inherited(slot, monkeypatch):
    monkeypatch.setenv("DRIVEWAY_SECRET", "x")
    await slot.warm()
    environment = Path(f"/proc/{slot._child._pid}/environ").read_bytes()
    assert b"ORT_DISABLE_TELEMETRY=1" in environment
    assert b"DRIVEWAY_SECRET" not in environment


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"items": 2}, "input_invalid"),
        ({"inputs": b"garbage"}, "input_invalid"),
        ({"inputs": save({"z": np.ones((3, 4), np.float32)})}, "input_invalid"),
        ({"outputs": ("z",)}, "output_unknown"),
    ],
)
async def test_a_unit_that_cannot_work_says_why(slot, models, make_unit, changes, code):
    assert (await slot.run(make_unit(models.double(), **changes), Usage())).code == code


@pytest.mark.parametrize("model", [b"garbage", b"\x14\x00\x00\x00ORTM" + bytes(64), b""])
async def test_what_is_not_a_model_is_refused(slot, make_unit, model):
    """Files in onnxruntime's own format, which admission does not check, are refused as well."""
    result = await slot.run(make_unit(model), Usage())
    assert result.code == "model_invalid", result
    assert "flatbuffers" not in result.message.lower()


async def test_one_row_per_item_is_insisted_on(slot, models, make_unit):
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [0])
    nodes = [
        helper.make_node("Constant", [], ["axes"], value=axes),
        helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0),
    ]
    assert (await slot.run(make_unit(models.build(nodes)), Usage())).code == "output_shape"


async def begun(slot, unit, usage, until):
    """Start a unit as a task and return it when the unit has used 1 ms of processor time."""
    await slot.warm()
    child, before_ns = slot._child, slot._child.cpu_ns()
    task = asyncio.create_task(slot.run(unit, usage))
    await until(lambda: child.cpu_ns() > before_ns + 1_000_000, what="the unit to use the processor")
    return task


async def test_an_endless_loop_is_stopped_and_the_next_unit_runs(slot, models, make_unit, until, skip_time):
    usage = Usage()
    task = await begun(slot, make_unit(models.loop(), time_limit_ms=1_800_000), usage, until)
    skip_time(1_801)
    assert (await task).code == "time_limit"
    assert 1_000 <= usage.cpu_us <= 1.5 * usage.wall_us
    assert (await slot.run(make_unit(models.double()), Usage())).code == ""


async def test_a_memory_bomb_is_stopped_by_the_limit(slot, models, make_unit):
    usage = Usage()
    result = await slot.run(make_unit(models.bomb(), memory_bytes=64 << 20), usage)
    assert result.code == "memory_limit", result
    assert usage.peak_rss_bytes < 400 << 20
    assert (await slot.run(make_unit(models.double()), Usage())).code == ""


@pytest.mark.long
async def test_the_processor_limit_holds_without_the_agent(slot, models, make_unit):
    """RLIMIT_CPU is the second barrier, in case the agent's own time limit fails."""
    await slot.warm()
    unit = make_unit(models.loop(), time_limit_ms=100)
    child = slot._child
    await child.send(
        {"memory_bytes": 1 << 28, "lifetime_cpu_seconds": 1, "processes": None, "seccomp": False}, unit.model
    )
    await child.send({"outputs": ["y"], "items": 3, "batch": 3, "cpu_seconds": 0}, unit.inputs)
    with pytest.raises(Exception, match="exit code") as caught:
        await asyncio.wait_for(child.receive(max_body_bytes=1 << 20), waiting.NEVER_S)
    assert caught.value.signal_number == signal.SIGXCPU


async def test_a_cancel_kills_at_once_and_says_what_was_used(slot, models, make_unit, until):
    usage = Usage()
    task = await begun(slot, make_unit(models.loop()), usage, until)
    child = slot._child
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert slot._child is not child
    await until(lambda: is_gone(child._pid), what="the end of a unit that has an hour left")
    assert 1_000 <= usage.cpu_us <= 1.5 * usage.wall_us


async def test_a_child_that_is_killed_is_an_error_and_not_the_end(slot, models, make_unit, until):
    task = asyncio.create_task(slot.run(make_unit(models.loop()), Usage()))
    await until(lambda: slot._child is not None and slot._child.model is not None, what="a child with a model")
    os.kill(slot._child._pid, signal.SIGKILL)
    assert (await task).code == "child_died"
    assert (await slot.run(make_unit(models.double()), Usage())).code == ""


async def test_a_result_larger_than_the_unit_may_use_is_refused(tmp_path):
    child = await Child.start(tmp_path)
    with pytest.raises(Exception, match="bytes of result"):
        await _oversized(child)
    assert not child.is_alive or child.kill() is None
    await child.reaped()


async def _oversized(child):
    model = _wide_model()
    await child.send({"memory_bytes": 1 << 28, "lifetime_cpu_seconds": 600, "processes": None, "seccomp": False}, model)
    data = save({"x": np.ones((3, 4), np.float32)})
    await child.send({"outputs": ["y"], "items": 3, "batch": 3, "cpu_seconds": 600}, data)
    await child.receive(max_body_bytes=10)


def _wide_model():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


PARENT = """
import asyncio, pathlib, sys
from compute.agent.work.runner import Slot, Unit, Usage
async def main():
    model, inputs, empty = (pathlib.Path(name) for name in sys.argv[1:])
    slot = Slot(empty)
    await slot.warm()
    unit = Unit("0" * 64, model.read_bytes(), inputs.read_bytes(), ("y",), 3, 3, 1 << 28, 3_600_000)
    task = asyncio.create_task(slot.run(unit, Usage()))
    while slot._child.model is None:
        await asyncio.sleep(0.01)
    print(slot._child._pid, flush=True)
    await task
asyncio.run(main())
"""


def test_the_child_dies_with_an_agent_that_is_killed(tmp_path, models, make_inputs):
    (tmp_path / "model").write_bytes(models.loop())
    (tmp_path / "inputs").write_bytes(make_inputs())
    (tmp_path / "empty").mkdir()
    paths = [tmp_path / name for name in ("model", "inputs", "empty")]
    with subprocess.Popen([sys.executable, "-c", PARENT, *paths], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
        parent.wait()
    waiting.until(lambda: is_gone(pid), what="the end of the child")


def marked(mark):
    """Return all processes with `mark` in their environment, whatever their parent is by now."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if mark in each.environ() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


async def test_a_start_that_is_cancelled_leaves_no_part_of_the_sandbox(tmp_path, until, monkeypatch):
    """This includes the second process of bubblewrap, which at that moment does not yet die with the first one."""
    mark = f"MARK_{tmp_path.parent.name}_{os.getpid()}"
    monkeypatch.setattr(process, "_ENVIRONMENT", {**process._ENVIRONMENT, mark: "1"})
    for most in (1, 2, 3):
        starting = asyncio.create_task(Child.start(tmp_path))
        await until(lambda n=most, task=starting: len(marked(mark)) >= n or task.done(), what="the sandbox to start")
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        if not starting.cancelled():
            await starting.result().reaped()
        await until(lambda: not marked(mark), what="its end")
    assert marked(mark) == []


async def test_closing_while_a_child_starts_leaves_none(tmp_path, until):
    before = set(psutil.Process().children(recursive=True))
    slot = Slot(tmp_path)
    warming = asyncio.create_task(slot.warm())
    await until(lambda: set(psutil.Process().children(recursive=True)) - before, what="the child that starts")
    await asyncio.gather(slot.close(), warming)
    await slot.close()
    assert [child for child in set(psutil.Process().children(recursive=True)) - before if not is_gone(child.pid)] == []
