"""TeslaMate and OVMS over a real MQTT broker (nats-server, MQTT 3.1.1): days, invalid data, a broker that dies."""

import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from compute.agent.policy import READY, evaluate
from compute.agent.sensors import open_sensors, own_network, teslamate
from compute.agent.sensors.mqtt_url import PASSWORD_VARIABLE, parse_broker, password_of
from compute.agent.state.errors import AgentError
from compute.protocol import Policy
from marketplace.local.embedded.process import free_port
from tests.waiting import PATIENCE_S, until

PAYLOADS = Path(__file__).parents[3] / "payloads" / "mqtt"
CONFIG = """
listen: "127.0.0.1:{nats}"
server_name: "mqtt-test"
jetstream {{ store_dir: "{folder}/js" }}
mqtt {{ listen: "127.0.0.1:{mqtt}" }}
{authorization}
"""
OUR_USER = 'authorization { users: [ { user: "car", password: "s3cret" } ] }'


class Broker:
    """A nats-server with MQTT on loopback, and a client that publishes to it like a car's data source."""

    def __init__(self, folder, *, authorization=""):
        self.folder, self.port, self.publisher = folder, free_port(), None
        (folder / "server.conf").write_text(
            CONFIG.format(nats=free_port(), mqtt=self.port, folder=folder, authorization=authorization)
        )

    def start(self):
        program = Path(sys.executable).parent / "nats-server"
        self.process = subprocess.Popen(
            [program, "-c", self.folder / "server.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def stop(self):
        if self.publisher is not None:
            self.publisher.loop_stop()
            self.publisher = None
        self.process.kill()
        self.process.wait()

    def publish(self, topic, payload):
        if self.publisher is None:
            self.publisher = paho.Client(CallbackAPIVersion.VERSION2, client_id="source")
            self.publisher.connect("127.0.0.1", self.port)
            self.publisher.loop_start()
        self.publisher.publish(topic, payload, qos=1, retain=True).wait_for_publish(PATIENCE_S)

    def _answers(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S).close()
            return True
        return False


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory):
    """Share one broker between all tests that do not kill it."""
    broker = Broker(tmp_path_factory.mktemp("mqtt"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def clean(shared_broker):
    """Delete the retained messages of the previous test."""
    topics = set()
    real = shared_broker.publish

    def publish(topic, payload):
        topics.add(topic)
        real(topic, payload)

    shared_broker.publish = publish
    yield shared_broker
    shared_broker.publish = real
    for topic in topics:
        real(topic, "")


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens sensors; they are closed afterwards."""
    with contextlib.ExitStack() as stack:

        def one(name):
            sensors = open_sensors(name, tmp_path)
            stack.callback(sensors.close)
            return sensors

        yield one


@pytest.fixture(autouse=True)
def _own_network(monkeypatch):
    """Pretend that this computer is on Wi-Fi."""
    monkeypatch.setattr(own_network, "own_network", lambda: "wifi")


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch):
    """Retry a connection every second, without increasing pauses."""
    monkeypatch.setattr("compute.agent.sensors.mqtt._RECONNECT_S", (1, 1))


def verdict(sensors):
    return evaluate(Policy(version=1), sensors(), datetime.now(UTC), READY)


def lines(name):
    return [json.loads(line) for line in (PAYLOADS / f"{name}.jsonl").read_text().splitlines()]


def url(broker, kind):
    paths = {
        "teslamate": f"mqtt://127.0.0.1:{broker.port}/?car=1",
        "ovms": f"mqtt://owner@127.0.0.1:{broker.port}/EV915",
    }
    return f"{kind}:{paths[kind]}"


@pytest.mark.parametrize("sequence", ["teslamate-day", "teslamate-garbage", "ovms-day"])
def test_a_sequence_of_topics_gives_the_readings_and_verdicts_that_it_should(clean, opened, sequence):
    sensors = opened(url(clean, sequence.partition("-")[0]))
    until(lambda: "broker has only retained" in sensors().note or "says nothing" in sensors().note)
    for number, line in enumerate(lines(sequence), start=1):
        if "topic" in line:
            clean.publish(line["topic"], line["payload"])
        if "expect" not in line:
            continue

        def is_so(line=line):
            found = sensors()
            return verdict(sensors).code == line["verdict"] and all(
                getattr(found, name) == value for name, value in line["expect"].items()
            )

        with contextlib.suppress(AssertionError):
            until(is_so)
        assert is_so(), f"{sequence} line {number}: {verdict(sensors)} {sensors()}"


@pytest.mark.parametrize("sequence", ["teslamate-day", "ovms-day"])
def test_position_and_speed_are_not_even_asked_for(clean, opened, sequence):
    """No subscription has a topic of position or speed, and none has a wildcard."""
    sensors = opened(url(clean, sequence.partition("-")[0]))
    names = {topic.split("/")[-1] for topic in sensors._topics} | {
        "/".join(t.split("/")[-3:-1]) for t in sensors._topics
    }
    forbidden = {
        "latitude",
        "longitude",
        "location",
        "geofence",
        "speed",
        "heading",
        "elevation",
        "power",
        "odometer",
        "trip",
        "active_route",
        "gpsspeed",
        "v/p",
        "altitude",
        "direction",
    }
    assert not names & forbidden
    assert not any(sign in topic for topic in sensors._topics for sign in "+#")
    received = []
    sensors._client.on_message = lambda client, data, message: received.append(message.topic)
    for line in lines(sequence):
        if "topic" in line:
            clean.publish(line["topic"], line["payload"])
    until(lambda: received)
    assert set(received) <= set(sensors._topics)


def test_kept_messages_tell_values_but_are_never_fresh(clean, opened):
    for name, payload in {
        "state": "charging",
        "plugged_in": "true",
        "usable_battery_level": "70",
        "inside_temp": "20",
    }.items():
        clean.publish(f"teslamate/cars/1/{name}", payload)
    sensors = opened(url(clean, "teslamate"))
    until(lambda: sensors().charge_percent == 70)
    assert verdict(sensors).code == "sensor_stale"
    assert "retained messages" in verdict(sensors).sentence
    before = datetime.now(UTC)
    clean.publish("teslamate/cars/1/charge_energy_added", "1.5")
    until(lambda: verdict(sensors).available)
    assert before <= sensors().at <= datetime.now(UTC)
    late = evaluate(Policy(version=1), sensors(), datetime.now(UTC) + timedelta(seconds=140), READY)
    assert late.code == "sensor_stale"


@pytest.mark.long
def test_a_broker_that_dies_leaves_no_reading_and_one_that_returns_needs_a_live_message(tmp_path, opened):
    """After a broker's death its retained messages may come back late or never; they must never allow work."""
    values = {"plugged_in": "true", "usable_battery_level": "70", "inside_temp": "20", "state": "online"}
    broker = Broker(tmp_path)
    broker.start()
    try:
        sensors = opened(url(broker, "teslamate"))
        until(lambda: "says nothing" in sensors().note)
        for name, payload in values.items():
            broker.publish(f"teslamate/cars/1/{name}", payload)
        until(lambda: verdict(sensors).available)
        broker.stop()
        until(lambda: verdict(sensors).code == "sensor_stale")
        assert "broker" in verdict(sensors).sentence
        broker.start()
        until(lambda: "says nothing" in sensors().note or "retained messages" in sensors().note)
        assert verdict(sensors).code == "sensor_stale"
        for name, payload in values.items():
            broker.publish(f"teslamate/cars/1/{name}", payload)
        until(lambda: verdict(sensors).available)
    finally:
        broker.stop()


def test_a_broker_that_is_not_there_is_named_as_the_reason(opened):
    sensors = opened(f"teslamate:mqtt://127.0.0.1:{free_port()}/")
    until(lambda: "cannot be reached" in verdict(sensors).sentence)
    assert verdict(sensors).code == "sensor_stale"


@pytest.mark.long
def test_a_password_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path, opened, monkeypatch):
    broker = Broker(tmp_path, authorization=OUR_USER)
    broker.start()
    try:
        monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
        refused = opened(f"ovms:mqtt://car@127.0.0.1:{broker.port}/EV915?user=owner")
        until(lambda: "refuses" in refused().note)
        (tmp_path / "password").write_text("s3cret\n")
        sensors = opened(f"ovms:mqtt://car@127.0.0.1:{broker.port}/EV915?user=owner&password_file={tmp_path}/password")
        until(lambda: "retained messages" in sensors().note)
        assert "s3cret" not in sensors.source + str(sensors())
        assert "ovms/owner/EV915/metric/v/b/soc" in sensors._topics
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("teslamate:mqtt://user:hunter2@host/", "Do not put a password"),
        ("teslamate:http://host/", "mqtt://"),
        ("teslamate:mqtt:///", "mqtt://"),
        ("teslamate:mqtt://host:port/", "cannot be read"),
        ("teslamate:mqtt://host/?cat=1", '"cat"'),
        ("teslamate:mqtt://host/?car=%2B", "without / + or #"),
        ("teslamate:mqtt://host/?car=1/%23", "without / + or #"),
        ("teslamate:mqtt://host/?network=best", "own"),
        ("teslamate:mqtt://host/?password_file=/nowhere", "password file"),
        ("ovms:mqtt://host/EV915", "needs a user"),
        ("ovms:mqtt://user@host/", "vehicle id"),
        ("ovms:mqtt://user@host/%23", "without / + or #"),
        ("ovms:mqtt://user@host/EV915?prefix=a/%2B", "without / + or #"),
        ("ovms:mqtt://host/?topic=my/%23", "without / + or #"),
    ],
)
def test_a_wrong_address_is_refused_and_says_why(name, words, tmp_path):
    with pytest.raises(AgentError) as caught:
        open_sensors(name, tmp_path)
    assert caught.value.code == "sensors_invalid"
    assert words in caught.value.message
    assert "hunter2" not in caught.value.message


def test_broker_addresses_have_defaults():
    plain, tls = parse_broker("mqtt://h/", options=frozenset()), parse_broker("mqtts://a%40b@h/x", options=frozenset())
    assert (plain.port, plain.is_tls, tls.port, tls.is_tls, tls.user, tls.path) == (1883, False, 8883, True, "a@b", "x")
    assert password_of(plain, {}) is None
    assert password_of(plain, {PASSWORD_VARIABLE: "p"}) == "p"


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("owner@127.0.0.1:{port}/EV915", "ovms/owner/EV915/metric/v/b/soc"),
        ("a@127.0.0.1:{port}/EV915?user=b&prefix=home/cars&network=own", "home/cars/b/EV915/metric/v/b/soc"),
        ("127.0.0.1:{port}/?topic=my/leaf/", "my/leaf/metric/v/b/soc"),
    ],
)
def test_ovms_finds_its_topics_whatever_their_prefix(clean, opened, text, topic):
    sensors = opened("ovms:mqtt://" + text.format(port=clean.port))
    until(lambda: "retained messages" in sensors().note)
    clean.publish(topic, "71.5")
    until(lambda: sensors().charge_percent == 71.5)
    assert sensors().network == ("wifi" if "network=own" in text else None)


def test_teslamate_says_nothing_of_solar_price_or_network():
    found = teslamate.reading({"state": "online"}, None)
    assert (found.solar, found.price_micro_per_kwh, found.network) == (None, None, None)
    assert replace(found, at=datetime.now(UTC)).plugged_in is None
