"""Fold the gates that have logs of their own, and do what follows: let pass, skip, tell of ends."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from core.gates.fold import Boosts, Effect, Passed, Refuses, Skips, Waits
from core.gates.gate import Gate
from core.log import Coordinate, NewRecord, Record, TopicPartition
from ports.meter import Meter, Metric
from schemas.codec import decode_accepted
from schemas.gate_logs import GateLogs
from schemas.gated import GatedEnd
from schemas.gates import ended_record
from schemas.topics import RouteMap
from services.scheduler.decide import OnDead, carried_out, told_end
from services.scheduler.waiting import WaitingJobs


class Due(NamedTuple):
    """An effect that is to be carried out."""

    gate: Gate
    entered: Coordinate
    effect: Effect


class Followed(NamedTuple):
    """What some records of the ledger and of gates lead to."""

    due: list[Due]
    ends: list[GatedEnd]


class Gatekeeper:
    """Folds what was read of the ledger and of gates, and makes the records that follow.

    Parameters
    ----------
    on_dead
        Whether a dead job lets its ordering key go on.
    """

    def __init__(
        self,
        routes: RouteMap,
        meter: Meter,
        now_ms: Callable[[], int],
        logs: GateLogs,
        waiting: WaitingJobs,
        on_dead: OnDead,
    ) -> None:
        self._routes = routes
        self._meter = meter
        self._now_ms = now_ms
        self._logs = logs
        self._waiting = waiting
        self._gate_of = logs.gate_of
        self._on_dead = on_dead

    def follow(self, records: Iterable[Record], act_from: Callable[[TopicPartition], int]) -> Followed:
        """Fold records of the followed logs; give what those from ``act_from(log)`` on lead to.

        Earlier ones were acted on before; they only restore the folds. Errors as ``GateLogs.take``.
        """
        followed, starts = Followed([], []), dict[TopicPartition, int]()
        for record in records:
            said = self._logs.take(record)
            if not said:
                continue
            place = TopicPartition(record.topic, record.partition)
            start = starts.get(place)
            if start is None:
                start = starts[place] = act_from(place)
            if isinstance(said, GatedEnd):
                if record.offset >= start:
                    followed.ends.append(said)
                continue
            gate = self._gate_of[record.topic]
            for effect in said:
                if isinstance(effect, Waits):
                    self._waiting.remember(record)
                if record.offset >= start:
                    followed.due.append(Due(gate, Coordinate(*place, effect.offset), effect))
        return followed

    async def outputs(self, followed: Followed, at_hand: Iterable[Record]) -> list[NewRecord]:
        """Make the records that follow.

        Parameters
        ----------
        at_hand
            What was just read; jobs that are not among it may have to be read again.

        Raises
        ------
        ports.fetch.MissingRecordError, ports.log.OffsetOutOfRangeError
            A job that waits is not in the log any more; the service stops.
        """
        outputs: list[NewRecord] = []
        for keys, ended in followed.ends:
            told = told_end(ended, self._on_dead)
            outputs.extend(ended_record(place, told) for place in keys.places(self._routes))
        if followed.due:
            outputs.extend(await self._carried_out(followed.due, at_hand))
        self._measure(followed)
        return outputs

    async def _carried_out(self, due: list[Due], at_hand: Iterable[Record]) -> list[NewRecord]:
        now_ms = self._now_ms()
        # Of a job that waits only its ids are wanted, and its record stays where it is remembered.
        wanted = [one.entered for one in due if not isinstance(one.effect, Waits | Boosts)]
        boosted = [one.entered for one in due if isinstance(one.effect, Boosts)]
        records = {record.coordinate: record for record in at_hand}
        records |= await self._waiting.get(wanted, records)
        records |= await self._waiting.find(boosted, records)
        outputs: list[NewRecord] = []
        for one in due:
            if isinstance(one.effect, Boosts) and one.entered not in records:
                # It was trimmed: only what waits holds the log.
                continue
            job = decode_accepted(records[one.entered])
            outputs.extend(carried_out(self._routes, one.gate, one.effect, job, now_ms))
        return outputs

    def _measure(self, followed: Followed) -> None:
        fates = Counter((str(one.gate), _outcome(one.effect)) for one in followed.due)
        for (gate, outcome), count in fates.items():
            self._meter.count(Metric.GATED, count, gate=gate, outcome=outcome)


def _outcome(effect: Effect) -> str:
    match effect:
        case Passed():
            return "passed"
        case Waits():
            return "waits"
        case Skips():
            return "skipped"
        case Refuses():
            return "refused"
        case Boosts():
            return "boosted"
