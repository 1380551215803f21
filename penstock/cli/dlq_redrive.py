"""Redriving: new attempts of dead jobs at a bounded pace, watched, until all are out or it stops itself."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from core.desk import PORTION, End, Go, Rules, Stop, Wait, Watch
from core.ledger.verdicts import Redriven
from core.log import NewRecord
from penstock.cli.dlq_desk import Desk, who
from penstock.cli.dlq_letters import DeadLetter, Letters
from penstock.cli.dlq_rows import FoundLetter, ends_of
from schemas.codec import ledger_record
from schemas.desk import ActKind, Letter, Outcome
from schemas.edited_letter import CannotEditError, edited, edited_record
from schemas.gate_keys import gates_header, keys_of

LOOK_EVERY_S = 1.0
"""How often the tables are asked what became of what is out, while nothing more may go."""
PORTION_S = 0.5
"""With a rate, a portion is what the rate allows in this time: so it is even, and Ctrl-C is answered soon."""
REFUSED_SHOWN = 5


class Plan(NamedTuple):
    """How to redrive."""

    act: str
    rules: Rules | None
    """None: nothing is watched, all go out at the rate."""
    rate_per_s: float
    """0: as fast as possible."""
    patch: bytes | None = None
    wait: bool = False
    """Stay until all that went out has shown how it ends."""


class Redrive:
    """One redrive under way.

    Attributes
    ----------
    refused
        Jobs whose payload cannot be edited like this, with the reason.
    other_epoch
        Jobs of an earlier epoch: they were not redriven.
    """

    def __init__(self, desk: Desk, source: Letters, plan: Plan, say: Callable[[str], None]) -> None:
        self._desk = desk
        self._source = source
        self._plan = plan
        self._say = say
        self.watch = Watch(plan.rules or Rules())
        self._out: dict[str, FoundLetter] = {}
        self.refused: dict[str, str] = {}
        self.other_epoch = 0
        self._next_s = time.monotonic()
        self._said = ""

    async def run(self) -> Outcome:
        """Redrive all; DONE, or STOPPED when the failure has returned.

        Cancelled, it lets the portion under way be acknowledged first.
        """
        while True:
            await self._while_paused()
            await self._look()
            match self._step():
                case Stop(returned, looked_at):
                    self._say(f"{returned} of the newest {looked_at} ends are the same failure again")
                    return Outcome.STOPPED
                case Wait():
                    self._tell(f"{self.watch.out} jobs are out; more go when some of them succeed")
                    await asyncio.sleep(LOOK_EVERY_S)
                case Go(most):
                    letters = await self._source.take(min(most, self._portion))
                    if not letters:
                        return await self._settled()
                    await self._in_whole(self._send(letters))
                    await self._pace(len(letters))

    def _step(self) -> Go | Wait | Stop:
        return Go(PORTION) if self._plan.rules is None else self.watch.step()

    async def _settled(self) -> Outcome:
        while self._plan.wait and self._out:
            await self._look()
            self._tell(f"{self.watch.out} of {self.watch.sent} jobs are out")
            await asyncio.sleep(LOOK_EVERY_S)
        stopped = self._plan.rules is not None and self.watch.stop() is not None
        return Outcome.STOPPED if stopped and self._source.missing else Outcome.DONE

    @property
    def _portion(self) -> int:
        rate = self._plan.rate_per_s
        return PORTION if rate <= 0 else max(1, min(PORTION, int(rate * PORTION_S)))

    async def _pace(self, sent: int) -> None:
        if self._plan.rate_per_s > 0:
            self._next_s = max(self._next_s, time.monotonic() - PORTION_S) + sent / self._plan.rate_per_s
            await asyncio.sleep(max(0.0, self._next_s - time.monotonic()))

    async def _while_paused(self) -> None:
        while (paused := await self._desk.paused()) is not None:
            why = f": {paused.reason}" if paused.reason else ""
            self._tell(f"paused by {paused.by}{why}; `penstock dlq resume` lets it go on")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        if self._plan.rules is None and not self._plan.wait:
            return
        ends = await ends_of(self._desk.database, list(self._out.values())) if self._out else {}
        for job_id in ends:
            del self._out[job_id]
        self.watch.ended(ends.values())

    async def _send(self, letters: Sequence[DeadLetter]) -> None:
        ready: list[tuple[DeadLetter, NewRecord | None]] = []
        for one in letters:
            if one.letter.last.job.origin.split(":")[0] != self._desk.epoch:
                self.other_epoch += 1
                continue
            try:
                ready.append((one, self._edited(one)))
            except CannotEditError as error:
                self.refused[one.found.candidate.job_id] = str(error)
        told = [Letter(one.found.candidate.job_id, one.found.candidate.n) for one, _ in ready]
        await self._desk.treat(self._plan.act, ActKind.REDRIVE, told)
        copies = [copy for _, copy in ready if copy is not None]
        places = iter(await self._desk.append(copies))
        verdicts = [
            self._verdict(one, one.record.offset if copy is None else next(places).offset)
            for one, copy in ready
        ]
        await self._desk.append(verdicts)
        self._out |= {one.found.candidate.job_id: one.found for one, _ in ready}
        self.watch.redrove(len(ready))
        self._tell(f"redrove {self.watch.sent} so far")

    def _edited(self, one: DeadLetter) -> NewRecord | None:
        patch = self._plan.patch
        if patch is None:
            return None
        return edited_record(self._desk.routes, edited(one.letter, patch, self._plan.act))

    def _verdict(self, one: DeadLetter, offset: int) -> NewRecord:
        job = one.letter.last.job
        verdict = Redriven(
            job.origin, job.job_id, job.n + 1, one.record.topic, one.record.partition, offset, who()
        )
        header = gates_header(keys_of(job.tenant, job.workflow_id, job.ordering_key))
        return ledger_record(self._desk.routes, verdict, header)

    async def _in_whole(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def report(self) -> dict[str, Any]:
        """Say what was done, for people and programs."""
        reasons = Counter(self.refused.values())
        return {
            "act": self._plan.act,
            "redriven": self.watch.sent,
            **{str(end): self.watch.ends[end] for end in End},
            "out": self.watch.out,
            "without_letter": len(self._source.missing),
            "of_another_epoch": self.other_epoch,
            "not_editable": len(self.refused),
            "not_editable_because": [reason for reason, _ in reasons.most_common(REFUSED_SHOWN)],
        }
