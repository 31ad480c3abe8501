from django.db import models


class StateTransition(models.Model):
    """One allowed change of state; `machine` is the table's name.

    The trigger `driveway_transition` reads these rows.
    """

    machine = models.CharField(max_length=60)
    from_status = models.CharField(max_length=16)
    to_status = models.CharField(max_length=16)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["machine", "from_status", "to_status"], name="state_transition_once")
        ]

    def __str__(self) -> str:
        return f"{self.machine}: {self.from_status} -> {self.to_status}"
