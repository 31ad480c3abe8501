"""Energy: modelled or counted, and nothing lost to rounding."""

from hypothesis import given
from hypothesis import strategies as st

from compute.agent.energy import EnergyMeter, round_half_up, to_mwh


def test_without_a_counter_it_is_power_times_compute_time(tmp_path):
    meter = EnergyMeter(30_000, rapl=tmp_path / "none")
    assert meter.method == "model"
    assert meter.start() is None
    assert meter.finish(None, cpu_us=60_000_000) == (500_000, "model")  # 30 W for a minute: 0.5 Wh


def test_a_counter_that_stands_still_is_not_believed(tmp_path):
    (tmp_path / "energy_uj").write_text("5")
    (tmp_path / "max_energy_range_uj").write_text("1000")
    assert EnergyMeter(1000, rapl=tmp_path).method == "model"


def test_a_counter_that_wraps(tmp_path, monkeypatch):
    readings = iter(["1", "2", "900", "400"])
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: "1000" if "max" in path.name else next(readings))
    meter = EnergyMeter(1000, rapl=tmp_path)
    assert meter.method == "rapl"
    start = meter.start()
    energy_uwh, method = meter.finish(start, cpu_us=10**12)
    assert (energy_uwh, method) == (0, "rapl")  # 500 microjoule


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
