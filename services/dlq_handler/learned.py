"""What chooses delays by what was learned. Loaded only where somebody asks for that: it takes NumPy."""

from adapters.learned.canary import Canary
from adapters.runtime.service import Service
from core.retrying.memory import RetryMemory
from core.retrying.recovery import Recovery
from ports.log import PartitionReader
from ports.model_watch import ModelWatch
from schemas.models import Purpose
from services.dlq_handler.settings import DlqHandlerSettings


class Learned:
    """What is remembered of failures, and the models that are followed beside it.

    Parameters
    ----------
    reader
        Used for this alone; the caller closes it.
    """

    def __init__(self, service: Service, settings: DlqHandlerSettings, reader: PartitionReader) -> None:
        try_out = Canary(settings.model.key_bytes).try_out_recovery
        self._watch: ModelWatch[Recovery] = ModelWatch(
            reader, service.routes, service.meter, try_out=try_out, purpose=Purpose.RETRY
        )
        self.memory = RetryMemory(settings.retry_explored, self._watch)
        self.run = self._watch.run

    async def start(self) -> None:
        """Begin; delays go by what is seen here until a model has been tried out."""
        await self._watch.start()
