"""Trying an edit on dead letters without redriving them."""

from collections.abc import Sequence
from typing import Any

from core.masking import mask
from penstock.cli.dlq_desk import Desk
from penstock.cli.dlq_letters import letters
from penstock.cli.dlq_rows import FoundLetter
from schemas.accepted_job import DeadJob
from schemas.edited_letter import CannotEditError, edited, edited_record

PORTION = 500
SHOWN_MAX_CHARS = 2000


async def tried_edit(desk: Desk, taken: Sequence[FoundLetter], patch: bytes) -> dict[str, Any]:
    """Edit all of them, keep nothing; give how many it fits, and the first one before and after, masked."""
    tried: dict[str, Any] = {"fits": 0, "refused": 0, "before": None, "after": None, "because": None}
    async with letters(desk.kafka, desk.routes, taken) as source:
        while portion := await source.take(PORTION):
            for one in portion:
                try:
                    changed = edited(one.letter, patch, "")
                    edited_record(desk.routes, changed)
                except CannotEditError as error:
                    tried["refused"] += 1
                    tried["because"] = tried["because"] or str(error)
                    continue
                tried["fits"] += 1
                tried["before"] = tried["before"] or _shown(one.letter)
                tried["after"] = tried["after"] or _shown(changed)
    return tried


def _shown(letter: DeadJob) -> str:
    job = letter.last.job
    text = mask(bytes(job.payload), job.sensitive).decode()
    return text if len(text) <= SHOWN_MAX_CHARS else f"{text[:SHOWN_MAX_CHARS]}…"
