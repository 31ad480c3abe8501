"""The latest values of a car's topics on an MQTT broker, and their age (paho-mqtt, in a separate thread).

Retained messages carry no time: the broker sends them to every new subscriber, however old they are. So they give
values but say nothing about freshness. A reading is as fresh as the last message that was not retained and that arrived
over the present connection. Without a connection there is no reading.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from compute.agent.sensors.mqtt_url import BrokerUrl
from compute.agent.sensors.state import LONG_AGO, NEVER, VehicleState

log = logging.getLogger(__name__)
_KEEPALIVE_S = 30
_RECONNECT_S = (1, 30)
_MAX_PAYLOAD_BYTES = 256
Values = Mapping[str, str]
Read = Callable[[Values], VehicleState]


class MqttSensors:
    """Readings from a broker. Only ``topics`` are subscribed, without wildcards, so position and speed never arrive.

    ``topics`` maps each topic to the name under which ``read`` finds its value. ``read`` makes a reading of the known
    values; its ``at`` is set here. A reading with a ``note`` is never trusted, so its ``at`` is long ago.
    """

    def __init__(
        self, *, kind: str, url: BrokerUrl, password: str | None, topics: Mapping[str, str], read: Read
    ) -> None:
        self.source = f"{kind}:{url.text}"
        self._topics, self._read = topics, read
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}
        self._heard_at = LONG_AGO
        self._note = "The broker has not answered yet."
        self._is_refused = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"driveway-{secrets.token_hex(8)}")
        self._client.suppress_exceptions = True  # an exception in a callback must not end paho's thread
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_connect_fail, self._client.on_message = self._on_connect_fail, self._on_message
        self._client.on_subscribe = self._on_subscribe
        if url.user:
            self._client.username_pw_set(url.user, password)
        if url.is_tls:
            self._client.tls_set()
        self._client.reconnect_delay_set(*_RECONNECT_S)
        self._client.connect_async(url.host, url.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def __call__(self) -> VehicleState:
        with self._lock:
            values, heard_at, note = dict(self._values), self._heard_at, self._note
        if note:
            return replace(NEVER, note=note)
        reading = self._read(values)
        if reading.note:
            return replace(reading, at=LONG_AGO)
        if heard_at == LONG_AGO:
            return replace(reading, at=LONG_AGO, note="The broker has only retained messages, and they carry no time.")
        return replace(reading, at=heard_at)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _forget(self, note: str) -> None:
        with self._lock:
            self._values, self._heard_at = {}, LONG_AGO
        self._set_note(note)

    def _set_note(self, note: str) -> None:
        with self._lock:
            if note != self._note:
                log.info("Sensors: %s", note or "The broker has confirmed the topics.")
            self._note = note

    def _on_connect(
        self,
        client: paho.Client,
        data: object,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._is_refused = code.is_failure
        if self._is_refused:
            self._forget(f"The broker refuses the connection ({code}).")
            return
        self._forget("The broker has not confirmed the topics yet.")
        # QoS 0: the broker never queues old messages for us. A missed value is published again, or becomes stale.
        client.subscribe([(topic, 0) for topic in self._topics])

    def _on_subscribe(
        self,
        client: paho.Client,
        data: object,
        number: int,
        codes: Sequence[ReasonCode],
        properties: Properties | None,
    ) -> None:
        if refused := [topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure]:
            # A missing topic would read as "not in use", although a person may be in the car: trust none of it.
            self._set_note(f"The broker refuses {len(refused)} topics, for instance {refused[0]}.")
        else:
            self._set_note("")

    def _on_connect_fail(self, client: paho.Client, data: object) -> None:
        self._forget("The broker cannot be reached.")

    def _on_disconnect(
        self,
        client: paho.Client,
        data: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if not self._is_refused:
            self._forget("The connection to the broker is lost.")

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        try:
            name = self._topics.get(message.topic)
        except UnicodeDecodeError:  # so it is not a topic that we subscribed to
            return
        if name is None:
            return
        if len(message.payload) > _MAX_PAYLOAD_BYTES:
            text = "(too long)"
        else:
            text = message.payload.decode("utf-8", errors="replace").strip()
        with self._lock:
            self._values[name] = text
            if not message.retain:
                self._heard_at = datetime.now(UTC)
