from adapters.runtime.service import exit_with
from services.materializer.settings import MaterializerSettings
from services.materializer.wiring import run

exit_with("materializer", MaterializerSettings(), run)
