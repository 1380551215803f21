"""Penstock: a job pipeline on Kafka that learns.

``task`` declares what runs, ``Client`` submits jobs; the errors say what should happen next.
"""

import importlib
from typing import Any

from penstock.context import Context
from penstock.errors import (
    Cancelled,
    JobFailed,
    JobNotFound,
    JobRejected,
    OverloadError,
    PenstockError,
    PermanentError,
    SubmitUnknown,
    TaskTimeout,
    TransientError,
    WaitTimeout,
)

# Imported eagerly although it costs start-up time: a later import of the module ``penstock.task``
# would otherwise bind the module to this very name.
from penstock.task import RetryRule, task

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


_LAZY = frozenset({"Client", "SyncClient", "Workflow"})


def __getattr__(name: str) -> Any:
    """Load the clients, which bring a Kafka library, only when they are asked for."""
    if name in _LAZY:
        return getattr(importlib.import_module("penstock.client"), name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
