"""The kernel's kicks, under the name by which the services of work know them."""

from marketplace.core.kicks import begin, kick

__all__ = ["begin", "kick"]
