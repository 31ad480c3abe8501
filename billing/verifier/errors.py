"""The two kinds of problems: a package that cannot be read at all, and a package in which something is not true."""

from dataclasses import dataclass


class Unreadable(Exception):
    """Raised for a package that cannot be checked. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{message} [{code}]")


@dataclass(frozen=True)
class Finding:
    """One thing in a package that is not true: a stable code, where it is, and a sentence."""

    code: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence} [{self.code}]"
