from adapters.runtime.service import exit_with
from services.trainer.settings import TrainerSettings
from services.trainer.wiring import run

exit_with("trainer", TrainerSettings(), run)
