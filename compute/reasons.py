"""Why a node is not working, in a sentence for its owner. The codes are the agent's and the server's."""

SENTENCES = {
    "consent_missing": "You have not decided yet whether this car may run customers' jobs.",
    "consent_refused": "You said no to running customers' jobs on this car.",
    "consent_withdrawn": "You withdrew your consent to run customers' jobs.",
    "consent_expired": "Your consent to run customers' jobs has ended. You can give it again.",
    "node_suspended": "The marketplace has paused this node.",
    "node_retired": "This node has been retired.",
    "away": "The car's agent has not been heard of for a while.",
    "paused": "You paused it.",
    "outside_schedule": "Your weekly schedule says not now.",
    "not_plugged_in": "The car is not plugged in, and your rules want it to be.",
    "charge_low": "The charge is below the level that you want to keep.",
    "not_on_wifi": "The car is not on Wi-Fi, and your rules want it to be.",
    "too_hot": "The computer is hotter than your limit.",
    "driving": "The car is being driven.",
    "sensor_stale": "The car's readings are too old to trust.",
    "sensor_absurd": "The car's readings make no sense.",
    "agent_stopped": "The car's agent has been stopped.",
}


def sentence(code: str) -> str:
    """The sentence of a code; an unknown code speaks for itself."""
    return SENTENCES.get(code, f"Not available: {code}." if code else "Not available.")
