"""Translation of Stripe's status and reason words into ours."""

from collections.abc import Mapping
from typing import TypeVar

from core.errors import Conflict

V = TypeVar("V")


class UnknownWord(Conflict):
    """Stripe uses a word that we do not know yet."""

    code = "stripe_word_unknown"


def meaning(words: Mapping[str, V], word: str) -> V:
    """Return our meaning of a word of Stripe's.

    Raises UnknownWord: Stripe adds words, and we never guess what one means.
    """
    if word not in words:
        raise UnknownWord(word=word[:64])
    return words[word]
