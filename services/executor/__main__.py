from adapters.runtime.service import exit_with
from services.executor.settings import ExecutorSettings
from services.executor.wiring import run

exit_with("executor", ExecutorSettings(), run)
