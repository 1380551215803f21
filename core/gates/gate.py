"""The gates a job may have to pass before it may run, in the order in which it passes them."""

from enum import StrEnum


class Gate(StrEnum):
    """What a job may have to wait for."""

    ID = "id"
    """Whether its id or key names a job that is known already."""
    WORKFLOW = "workflow"
    """The jobs it depends on."""
    DUE = "due"
    """Its time."""
    ORDER = "order"
    """The jobs of its ordering key that entered before it."""

    @property
    def place(self) -> int:
        """Rises along the way of a job."""
        return _PLACES[self]


_PLACES = {gate: place for place, gate in enumerate(Gate)}
