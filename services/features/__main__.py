from adapters.runtime.service import exit_with
from services.features.settings import FeaturesSettings
from services.features.wiring import run

exit_with("features", FeaturesSettings(), run)
