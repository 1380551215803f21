from adapters.runtime.service import exit_with
from services.ingest.settings import IngestSettings
from services.ingest.wiring import run

exit_with("ingest", IngestSettings(), run)
