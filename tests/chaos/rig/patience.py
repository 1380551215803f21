"""How long waits may take on this machine: one factor over every limit.

The limits are written for two quiet cores. On a busier or slower machine a wait that is long enough
there ends a run that was right. Only waits grow: what is measured, and what a checker allows, does not.
"""

ENVIRONMENT_NAME = "CHAOS_PATIENCE"


class Patience:
    """The factor of this process; 1 until somebody says otherwise."""

    def __init__(self) -> None:
        self.factor = 1.0

    def limit_s(self, quiet_s: float) -> float:
        """Give the limit for here of a wait that may take ``quiet_s`` on a quiet machine."""
        return quiet_s * self.factor


PATIENCE = Patience()


def factor_of(text: str) -> float:
    """Read a factor.

    Raises
    ------
    ValueError
        It is no number from 1 to 100: less would turn slowness into violations.
    """
    factor = float(text)
    if not 1 <= factor <= 100:
        raise ValueError(f"patience is a factor from 1 to 100, not {text}")
    return factor
