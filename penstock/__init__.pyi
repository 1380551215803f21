from penstock.client import Client as Client
from penstock.client import SyncClient as SyncClient
from penstock.client import Workflow as Workflow
from penstock.context import Context as Context
from penstock.errors import Cancelled as Cancelled
from penstock.errors import JobFailed as JobFailed
from penstock.errors import JobNotFound as JobNotFound
from penstock.errors import JobRejected as JobRejected
from penstock.errors import OverloadError as OverloadError
from penstock.errors import PenstockError as PenstockError
from penstock.errors import PermanentError as PermanentError
from penstock.errors import SubmitUnknown as SubmitUnknown
from penstock.errors import TaskTimeout as TaskTimeout
from penstock.errors import TransientError as TransientError
from penstock.errors import WaitTimeout as WaitTimeout
from penstock.task import RetryRule as RetryRule
from penstock.task import task as task

__all__ = [
    "Cancelled",
    "Client",
    "Context",
    "JobFailed",
    "JobNotFound",
    "JobRejected",
    "OverloadError",
    "PenstockError",
    "PermanentError",
    "RetryRule",
    "SubmitUnknown",
    "SyncClient",
    "TaskTimeout",
    "TransientError",
    "WaitTimeout",
    "Workflow",
    "task",
]
