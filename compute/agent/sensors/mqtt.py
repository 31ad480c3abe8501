"""Topics of a car on an MQTT broker (paho-mqtt, in a thread of its own): what they last said, and when.

Kept messages carry no time: the broker hands them to every new subscriber, however old they are. So they tell values
but never freshness. A reading is as fresh as the last message that came over the present connection; when the
connection is lost, there is none.
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
    """Subscribes to exactly ``topics``, nothing else: no wildcard, so that no position or speed even reaches this computer.

    ``topics`` maps each topic to the name under which ``read`` finds its value; ``read`` makes a reading of what is
    known, and its ``at`` is set here, unless it has a ``note``: then it is not to be trusted, however fresh.
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
        self._client.suppress_exceptions = True  # a packet that cannot be read must not end the thread
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
        found = self._read(values)
        if found.note:
            return replace(found, at=LONG_AGO)
        if heard_at == LONG_AGO:
            return replace(found, at=LONG_AGO, note="The broker has only kept messages, and they carry no time.")
        return replace(found, at=heard_at)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _forget(self, note: str) -> None:
        with self._lock:
            self._values, self._heard_at = {}, LONG_AGO
        self._say(note)

    def _say(self, note: str) -> None:
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
        # QoS 0: what is missed is said again or grows stale; nothing old is ever queued for us.
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
            # What it does not tell would read as "nothing going on": somebody may be in the car.
            self._say(f"The broker refuses {len(refused)} topics, for instance {refused[0]}.")
        else:
            self._say("")

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
        except UnicodeDecodeError:  # not one that we asked for, then
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
