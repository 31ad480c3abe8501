"""Decode nested values in a form as Stripe writes them: `a[b][0][c]=d`."""

from typing import Any
from urllib.parse import parse_qsl

Form = dict[str, Any]


def decode(text: str) -> Form:
    """Return the nested values of a form. Leaves stay text.

    `metadata[a]=1&expand[0]=x` becomes {"metadata": {"a": "1"}, "expand": ["x"]}.
    """
    tree: Form = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *branches, leaf = [part.rstrip("]") for part in name.split("[")]
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        if leaf == "":  # expand[]=x
            leaf = str(len(node))
        node[leaf] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(node: Any) -> Any:
    """Turn dictionaries whose keys are 0, 1, ... into lists."""
    if not isinstance(node, dict):
        return node
    values = {name: _lists(value) for name, value in node.items()}
    numbers = [str(index) for index in range(len(values))]
    return [values[index] for index in numbers] if values and sorted(values) == sorted(numbers) else values
