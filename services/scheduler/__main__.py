from adapters.runtime.service import exit_with
from services.scheduler.settings import SchedulerSettings
from services.scheduler.wiring import run

exit_with("scheduler", SchedulerSettings(), run)
