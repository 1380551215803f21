"""Importing an app: its modules, and the tasks they declare."""

import importlib
import sys
import traceback
from collections.abc import Sequence

from penstock.errors import AppImportError, TaskDefinitionError
from penstock.task import Registry, default_registry
from penstock.worker.frames import RetryPolicy, TaskPolicy

_BUILTIN_MODULES = ("penstock.builtin.http_request", "penstock.builtin.replay")


def load_app(modules: Sequence[str], path: Sequence[str] = ()) -> Registry:
    """Import an app's modules and the built-in tasks, and give all tasks they declare.

    Tasks count when they went to the default registry or to a ``Registry`` that stands as a global in
    one of the named modules.

    Parameters
    ----------
    path
        Directories put first on ``sys.path``, so that the app's own packages win.

    Raises
    ------
    AppImportError
        A module cannot be imported or declares a task wrongly; the message holds traceback and remedy.
    """
    sys.path[:0] = [folder for folder in path if folder not in sys.path[: len(path)]]
    found = Registry()
    for name in (*modules, *_BUILTIN_MODULES):
        module = _imported(name)
        for value in tuple(vars(module).values()):
            if isinstance(value, Registry):
                _merge(found, value, name)
    _merge(found, default_registry, "the default registry")
    return found


def _imported(name: str) -> object:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        message = f"app module {name!r} cannot be imported:\n{traceback.format_exc()}{_remedy(name, error)}"
        raise AppImportError(message) from error


def _merge(found: Registry, registry: Registry, name: str) -> None:
    try:
        found.merge(registry)
    except TaskDefinitionError as error:
        raise AppImportError(f"the tasks of {name} clash: {error}") from error


def _remedy(name: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and name.startswith(error.name):
        places = ", ".join(sys.path[:3])
        return f"Remedy: start where {name} can be imported, or name another module; looked in {places}, ..."
    if isinstance(error, ModuleNotFoundError):
        return f"Remedy: install {error.name!r} in this environment ({sys.prefix})."
    if isinstance(error, TaskDefinitionError):
        return "Remedy: as the last line says."
    return f"Remedy: make `python -c 'import {name}'` work in {sys.prefix}."


def policies(registry: Registry) -> list[TaskPolicy]:
    """Give what every task says about itself, by type."""
    return [
        TaskPolicy(
            type=task.type,
            timeout_s=task.timeout_s,
            max_attempts=task.max_attempts,
            retry=None
            if task.retry is None
            else _retry(task.retry.base_s, task.retry.cap_s, task.retry.factor),
            uses=list(task.uses),
            concurrency=task.concurrency,
            cancel_grace_s=task.cancel_grace_s,
            is_async=task.is_async,
        )
        for task in registry.tasks()
    ]


def _retry(base_s: float, cap_s: float, factor: float) -> RetryPolicy:
    return RetryPolicy(base_s=base_s, cap_s=cap_s, factor=factor)
