"""The name under which this program signs its records."""

AGENT_VERSION = "driveway-agent/0.1.0"
