"""Submit jobs and ask about them, from async code (``Client``) and from plain code (``SyncClient``)."""

from penstock.client.client import Client
from penstock.client.errors import (
    Backpressure,
    CancelUnknown,
    InvalidFilter,
    InvalidJob,
    NotConnected,
    NotSent,
    Throttled,
    Unacknowledged,
)
from penstock.client.filters import JobFilter
from penstock.client.room import OnFull
from penstock.client.rows import CancelReport, JobRow, LogLine, SubmittedRef
from penstock.client.submission import Job, JobOptions
from penstock.client.sync import SyncClient
from penstock.client.workflow import Step, Workflow

__all__ = [
    "Backpressure",
    "CancelReport",
    "CancelUnknown",
    "Client",
    "InvalidFilter",
    "InvalidJob",
    "Job",
    "JobFilter",
    "JobOptions",
    "JobRow",
    "LogLine",
    "NotConnected",
    "NotSent",
    "OnFull",
    "Step",
    "SubmittedRef",
    "SyncClient",
    "Throttled",
    "Unacknowledged",
    "Workflow",
]
