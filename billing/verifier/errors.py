"""What can be wrong: a package that cannot be read at all, or one that says something that is not so."""

from dataclasses import dataclass


class Unreadable(Exception):
    """This is no package that can be checked. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{message} [{code}]")


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold, and where."""

    code: str
    where: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence} [{self.code}]"
