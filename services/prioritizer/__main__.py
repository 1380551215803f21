from adapters.runtime.service import exit_with
from services.prioritizer.settings import PrioritizerSettings
from services.prioritizer.wiring import run

exit_with("prioritizer", PrioritizerSettings(), run)
