from adapters.runtime.service import exit_with
from services.dlq_handler.settings import DlqHandlerSettings
from services.dlq_handler.wiring import run

exit_with("dlq_handler", DlqHandlerSettings(), run)
