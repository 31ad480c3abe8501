"""Energy: counted by processor, GPU or board, else modelled; divided between units; nothing lost by rounding."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.agent.energy import METHOD_SENTENCES, EnergyMeter, open_energy, round_half_up, to_mwh
from compute.agent.energy.counter import CounterError, Integral
from compute.agent.energy.ina3221 import Ina3221
from compute.agent.energy.nvml import open_nvml
from compute.agent.energy.rapl import Rapl

UWH = 3600  # microjoules of a microwatt-hour


class Tree:
    """A fake /sys. Its RAPL zones count one microjoule at every call of `pause`."""

    def __init__(self, folder):
        self.folder, self.moving = folder, set()

    def pause(self, seconds):
        for path in self.moving:
            path.write_text(str(int(path.read_text()) + 1))

    def write(self, **files):
        for name, value in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(value))

    def zone(self, name, *, kind, energy=10, most=1000):
        folder = f"class/powercap/{name}"
        self.write(**{f"{folder}/name": kind, f"{folder}/energy_uj": energy, f"{folder}/max_energy_range_uj": most})
        energy_file = self.folder / folder / "energy_uj"
        self.moving.add(energy_file)
        return energy_file

    def chip(self, number, name="ina3221", **channels):
        self.write(**{f"class/hwmon/hwmon{number}/name": name})
        for channel, (label, millivolts, milliamperes) in channels.items():
            base = f"class/hwmon/hwmon{number}"
            self.write(
                **{
                    f"{base}/in{channel[1:]}_label": label,
                    f"{base}/in{channel[1:]}_input": millivolts,
                    f"{base}/curr{channel[1:]}_input": milliamperes,
                }
            )


@pytest.fixture
def sys(tmp_path):
    return Tree(tmp_path / "sys")


class NvmlError(Exception):
    pass


class Nvml:
    """The part of `pynvml` that is used: one GPU with its power and, if it is new enough, an energy counter."""

    NVMLError = NvmlError

    def __init__(self, *, energy_mj=None, power_mw=70_000, present=True):
        self.energy_mj, self.power_mw, self.present = energy_mj, power_mw, present

    def nvmlInit(self):  # noqa: N802
        if not self.present:
            raise NvmlError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        assert index == 0
        return "gpu"

    def nvmlDeviceGetPowerUsage(self, device):  # noqa: N802
        return self._told(self.power_mw)

    def nvmlDeviceGetTotalEnergyConsumption(self, device):  # noqa: N802
        return self._told(self.energy_mj)

    def _told(self, value):
        if value is None:
            raise NvmlError("Not Supported")
        return value


class Counter:
    """A counter that the test moves by hand."""

    method, share = "rapl", "busy"

    def __init__(self):
        self.uj, self.log = 0.0, []

    def read_uj(self):
        if self.uj is None:
            raise CounterError("gone")
        return self.uj

    def begin(self):
        self.log.append("begin")

    def end(self):
        self.log.append("end")


def test_without_a_counter_it_is_power_times_compute_time(tmp_path):
    meter = open_energy(power_mw=30_000, provider="CPUExecutionProvider", sys=tmp_path)
    assert (meter.method, meter.start()) == ("model", None)
    assert meter.finish(None, cpu_us=60_000_000) == (500_000, "model")  # 30 W for a minute: 0.5 Wh


def test_rapl_adds_all_packages_and_nothing_twice(sys):
    first = sys.zone("intel-rapl:0", kind="package-0")
    second = sys.zone("intel-rapl:1", kind="package-1")
    sys.zone("intel-rapl:0:0", kind="core", energy=500)
    sys.zone("intel-rapl:2", kind="psys", energy=900)
    counter = Rapl(sys.folder, pause=sys.pause)
    assert counter.read_uj() == 2
    first.write_text("200")
    second.write_text("300")
    assert counter.read_uj() == 200 + 300 - 2 * 10
    second.write_text("100")  # it wrapped around at 1000
    assert counter.read_uj() == 480 + 800


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sys: sys.moving.clear(),
        lambda sys: sys.write(**{"class/powercap/intel-rapl:0/max_energy_range_uj": "x"}),
        lambda sys: (sys.folder / "class/powercap/intel-rapl:0/energy_uj").unlink(),
        lambda sys: sys.write(**{"class/powercap/intel-rapl:0/name": "psys"}),
    ],
)
def test_a_counter_that_stands_still_or_cannot_be_read_is_not_believed(sys, spoil):
    sys.zone("intel-rapl:0", kind="package-0")
    meter = open_energy(power_mw=1, provider="CPUExecutionProvider", sys=sys.folder, pause=sys.pause)
    assert meter.method == "rapl"
    spoil(sys)
    meter = open_energy(power_mw=1, provider="CPUExecutionProvider", sys=sys.folder, pause=sys.pause)
    assert meter.method == "model"


def test_a_unit_pays_its_share_of_the_busy_processors():
    counter, busy = Counter(), [100.0]
    meter = EnergyMeter(1, counter, busy=lambda: busy[0])
    start = meter.start()
    counter.uj, busy[0] = 8000 * UWH, 104.0  # four seconds of processor time, one of them by the unit
    assert meter.finish(start, cpu_us=1_000_000) == (2000, "rapl")
    assert counter.log == ["begin", "end"]


def test_a_counter_that_fails_meanwhile_leaves_the_model():
    counter = Counter()
    meter = EnergyMeter(30_000, counter)
    start = meter.start()
    counter.uj = None
    assert meter.finish(start, cpu_us=60_000_000) == (500_000, "model")
    assert meter.start() is None
    counter.uj = 5.0
    assert meter.start() is not None
    assert counter.log == ["begin", "end", "begin", "end", "begin"]


def test_units_on_one_gpu_divide_what_it_used_while_both_ran():
    library = Nvml(energy_mj=1000)
    meter = open_energy(power_mw=1, provider="CUDAExecutionProvider", nvml=library)
    first = meter.start()
    library.energy_mj += 3600  # one unit runs: 1 mWh
    second = meter.start()
    library.energy_mj += 7200  # two units run: 1 mWh each
    assert meter.finish(first, cpu_us=5) == (2000, "nvml")
    library.energy_mj += 3600
    assert meter.finish(second, cpu_us=5) == (2000, "nvml")


def test_an_older_gpu_is_integrated_from_its_power():
    counter, clock = open_nvml(Nvml(power_mw=70_000)), [0.0]
    counter._clock = lambda: clock[0]
    meter = EnergyMeter(1, counter)
    start = meter.start()
    clock[0] = 3.6
    energy_uwh, method = meter.finish(start, cpu_us=1)
    assert method == "nvml"
    assert energy_uwh == 70_000


def test_without_a_gpu_driver_the_board_or_the_model_is_left(sys):
    def method():
        library = Nvml(present=False)
        return open_energy(power_mw=1, provider="CUDAExecutionProvider", sys=sys.folder, nvml=library).method

    assert method() == "model"
    sys.chip(3, _1=("VDD_IN", 5000, 2000))
    assert method() == "ina3221"


def test_a_jetson_board_counts_its_input_or_else_every_rail(sys):
    sys.chip(0, name="tmp451")
    sys.chip(1, _1=("VDD_GPU_SOC", 5000, 1000), _2=("VDD_CPU_CV", 5000, 500), _3=("NC", 5000, 9000))
    board = Ina3221(sys.folder)
    assert [rail.label for rail in board.rails] == ["VDD_GPU_SOC", "VDD_CPU_CV"]
    assert board._board_mw() == 7500
    sys.write(**{"class/hwmon/hwmon1/in2_enable": 0})
    assert [rail.label for rail in Ina3221(sys.folder).rails] == ["VDD_GPU_SOC"]
    sys.chip(2, _1=("VDD_IN", 5000, 3000))
    board = open_energy(power_mw=1, provider="CPUExecutionProvider", sys=sys.folder)
    assert (board.method, Ina3221(sys.folder)._board_mw()) == ("ina3221", 15_000)


def test_power_is_integrated_by_the_trapezoid_only_while_somebody_asks():
    clock, power = [0.0], [1000.0]
    integral = Integral(lambda: power[0], every_s=60, clock=lambda: clock[0])
    integral.begin()
    assert integral.read_uj() == 0
    clock[0], power[0] = 2.0, 3000.0
    assert integral.read_uj() == 4_000_000  # 2 W for 2 s
    integral.end()
    clock[0] = 1000.0
    integral.begin()
    assert integral.read_uj() == 4_000_000
    integral.end()


def test_measuring_costs_less_than_a_thousandth_of_a_second(sys):
    for number in range(2):
        sys.zone(f"intel-rapl:{number}", kind=f"package-{number}")
    meter = open_energy(power_mw=1, provider="CPUExecutionProvider", sys=sys.folder, pause=sys.pause)
    assert meter.method == "rapl"

    def cost_s():
        started = time.process_time()
        meter.finish(meter.start(), cpu_us=1000)
        return time.process_time() - started

    # Processor time, so that load by other programs does not count. A unit takes about a minute.
    assert min(cost_s() for _ in range(50)) < 0.001


def test_every_method_is_said_in_words():
    assert set(METHOD_SENTENCES) == {"rapl", "nvml", "ina3221", "model"}


def test_half_is_rounded_up():
    assert [round_half_up(n, 2) for n in range(-2, 5)] == [-1, 0, 0, 1, 1, 2, 2]


@given(st.lists(st.integers(0, 10_000), max_size=50))
def test_the_sum_never_strays_by_more_than_half_a_milliwatt_hour(units):
    carry = total = 0
    for unit in units:
        energy_mwh, carry = to_mwh(unit, carry)
        assert energy_mwh >= 0
        total += energy_mwh
        assert abs(carry) <= 500
    assert abs(total * 1000 - sum(units)) <= 500
