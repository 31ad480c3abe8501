from collections.abc import Mapping
from typing import TypeVar

from core.errors import Conflict

V = TypeVar("V")


class UnknownWord(Conflict):
    """Stripe says a word that we do not know yet."""

    code = "stripe_word_unknown"


def meaning(words: Mapping[str, V], said: str) -> V:
    """What a word of Stripe's means for us. Raises UnknownWord: Stripe adds words, and nothing is guessed."""
    if said not in words:
        raise UnknownWord(word=said[:64])
    return words[said]
