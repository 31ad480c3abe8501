"""The name and version of this program, as its records and requests give them."""

AGENT_VERSION = "driveway-agent/0.1.0"
