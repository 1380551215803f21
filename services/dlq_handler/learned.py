"""What chooses delays by what was learned. Loaded only where somebody asks for that: it takes NumPy."""

from core.retrying.memory import RetryMemory
from core.retrying.recovery import Recovery
from ports.log import PartitionReader
from ports.meter import Meter
from ports.model_watch import ModelWatch, TryOut
from schemas.models import Purpose
from schemas.topics import RouteMap


class Learned:
    """What is remembered of failures, and the models that are followed beside it.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(
        self,
        reader: PartitionReader,
        routes: RouteMap,
        meter: Meter,
        try_out: TryOut[Recovery],
        explored: float,
    ) -> None:
        self._watch = ModelWatch(reader, routes, meter, try_out=try_out, purpose=Purpose.RETRY)
        self.memory = RetryMemory(explored, self._watch)
        self.run = self._watch.run

    async def start(self) -> None:
        """Begin; delays go by what is seen here until a model has been tried out."""
        await self._watch.start()
