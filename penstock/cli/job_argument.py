"""The argument that names a job."""

import uuid
from typing import Annotated

import typer


def job_id(text: str) -> str:
    """Read a job id.

    Raises
    ------
    typer.BadParameter
        It is not a UUID.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no job id; `penstock list` shows them") from None


Job = Annotated[str, typer.Argument(metavar="JOB", parser=job_id, help="Id of the job.")]
