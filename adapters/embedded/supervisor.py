"""One process that starts everything, keeps it running, and leaves nothing behind."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping

from adapters.embedded.env_file import pipeline_settings, write_env
from adapters.embedded.home import Home, exclusive
from adapters.embedded.kafka import MissingProgramError
from adapters.embedded.keeper import Keeper
from adapters.embedded.leftovers import end_leftovers
from adapters.embedded.logs import bound_log
from adapters.embedded.loopback import HOST, NoFreePortError, PortBook
from adapters.embedded.model_key import model_key
from adapters.embedded.plan import DATABASE_KEY, KAFKA_KEY, MODEL_KEY, Plan, child_environment
from adapters.embedded.process_mark import mark_of
from adapters.embedded.readiness import wait_ready
from adapters.embedded.servers import Site, StartError, start_kafka, start_postgres
from adapters.embedded.state import Phase, Step, SupervisorState, read_state, write_state
from adapters.embedded.unit import ProcessTable, ProgramFailedError, Unit

SERVICE_READY_S = 120.0
"""A service that is not ready by then is named; it is kept running all the same."""

LOG_CHECK_S = 10.0

METRICS_KEY = "PENSTOCK_METRICS_PORTS"
"""In ``penstock.env``: ``INSTANCE:PORT`` of every service, separated by commas."""

Report = Callable[[Step], None]
Ready = Callable[[Mapping[str, str]], None]
"""Called once with the content of ``penstock.env`` when everything runs."""

_START_ERRORS = (StartError, ProgramFailedError, MissingProgramError, NoFreePortError, OSError)


def supervise(plan: Plan, report: Report, ready: Ready) -> int:
    """Run the plan until SIGINT, SIGTERM or SIGHUP; give the exit code (1: it could not be brought up).

    Owns the process: takes its signals and adopts orphaned descendants. A second signal kills what
    has not stopped yet.

    Raises
    ------
    HomeInUseError
        Another supervisor runs in the data directory.
    """
    home = Home(plan.data.resolve())
    home.create()
    with exclusive(home):
        # The probes of servers that are still starting are expected to fail.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        return asyncio.run(Supervisor(plan, home, report).run(ready))


class Supervisor:
    """The life of one ``penstock up``: bring up, keep, shut down in reverse."""

    def __init__(self, plan: Plan, home: Home, report: Report) -> None:
        self._plan = plan
        self._home = home
        self._report = report
        self._table = ProcessTable(adopts=True)
        self._ports = PortBook(home.ports_file)
        self._services: list[Keeper] = []
        self._servers: dict[str, Keeper] = {}
        self._steps: list[Step] = []
        self._metrics: dict[str, int] = {}
        self._phase = Phase.STARTING
        self._started_ms = int(time.time() * 1000)
        self._stop = asyncio.Event()

    async def run(self, ready: Ready) -> int:
        """Run to the end; give the exit code."""
        self._take_signals()
        left = await asyncio.to_thread(end_leftovers, read_state(self._home.state_file))
        if left:
            self._note(Step(f"ended leftovers of a killed run: {', '.join(left)}", 0.0))
        self._save()
        minding = asyncio.create_task(self._mind_logs())
        end = Phase.STOPPED
        try:
            await self._unless_stopped(self._bring_up(ready))
            await self._stop.wait()
        except* _START_ERRORS as group:
            end = Phase.FAILED
            self._note(Step("start", 0.0, problem=str(_first(group))))
        finally:
            minding.cancel()
            await self._shut_down(end)
        return 0 if end is Phase.STOPPED else 1

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(signum, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            for keeper in self._keepers():
                keeper.kill()
        self._stop.set()

    async def _unless_stopped(self, work: Coroutine[None, None, None]) -> None:
        """Await the work, or cancel it when the stop is asked for."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            await task
        else:
            task.cancel()
            await asyncio.wait({task})

    async def _bring_up(self, ready: Ready) -> None:
        environment = dict(self._plan.environment) | await self._start_servers()
        if self._plan.prepare is not None:
            await self._timed("topics and tables prepared", self._table.run(self._prepare_unit(environment)))
        await self._start_services(environment)
        content = pipeline_settings(environment) | self._metrics_setting()
        write_env(self._home.env_file, content)
        await self._await_services()
        self._phase = Phase.RUNNING
        self._save()
        ready(content)

    async def _start_servers(self) -> dict[str, str]:
        """Start what the environment does not name; give the addresses of both."""
        given = self._plan.environment
        site = Site(self._home, self._ports, given, self._table, self._keep_server, self._timed)
        async with asyncio.TaskGroup() as group:
            kafka = group.create_task(_given(given.get(KAFKA_KEY)) or start_kafka(site))
            postgres = group.create_task(_given(given.get(DATABASE_KEY)) or start_postgres(site))
        return {KAFKA_KEY: kafka.result(), DATABASE_KEY: postgres.result()} | self._signing()

    def _signing(self) -> dict[str, str]:
        """Give the key that signs models, of a pipeline that is ours alone.

        With a Kafka that was given, others may train for the same pipeline; a key of our own would refuse
        what they made.
        """
        given = self._plan.environment
        return {} if given.get(KAFKA_KEY) or given.get(MODEL_KEY) else {MODEL_KEY: model_key(self._home)}

    def _prepare_unit(self, environment: Mapping[str, str]) -> Unit:
        assert self._plan.prepare is not None
        log = self._home.log("prepare")
        return Unit("prepare", self._plan.prepare, log, env=child_environment(environment))

    async def _start_services(self, environment: Mapping[str, str]) -> None:
        for service, instance in self._plan.instances():
            port = self._ports.port(f"metrics/{instance}")
            self._metrics[instance] = port
            own = {"PENSTOCK_INSTANCE": instance, "PENSTOCK_METRICS_PORT": str(port)}
            unit = Unit(
                instance,
                self._plan.command(service),
                self._home.log(instance),
                env=child_environment(environment) | own,
            )
            self._services.append(self._keep(unit))

    async def _await_services(self) -> None:
        if not self._services:
            return
        started_s = time.monotonic()
        waiting = {asyncio.create_task(wait_ready(port)): name for name, port in self._metrics.items()}
        _, late = await asyncio.wait(waiting, timeout=SERVICE_READY_S)
        for task in late:
            task.cancel()
        names = ", ".join(sorted(waiting[task] for task in late))
        problem = f"not ready yet: {names}; see {self._home.logs}" if late else ""
        self._note(Step(f"{len(waiting)} services ready", time.monotonic() - started_s, problem))

    def _keep_server(self, unit: Unit) -> Keeper:
        keeper = self._keep(unit)
        self._servers[unit.name] = keeper
        return keeper

    def _keep(self, unit: Unit) -> Keeper:
        keeper = Keeper(unit, self._table, self._save)
        keeper.start()
        return keeper

    def _keepers(self) -> list[Keeper]:
        return [*self._services, *self._servers.values()]

    async def _shut_down(self, end: Phase) -> None:
        """Stop users before what they use; at the end no process started here is left."""
        self._phase = Phase.STOPPING
        self._save()
        if self._services:
            stops = asyncio.gather(*(keeper.stop() for keeper in self._services))
            await self._timed("services stopped", _nothing(stops))
        for name in ("postgres", "kafka"):
            if name in self._servers:
                await self._timed(f"{name} stopped", self._servers[name].stop())
        await self._table.sweep()
        self._phase = end
        self._save()

    async def _timed(self, what: str, work: Awaitable[None]) -> None:
        started_s = time.monotonic()
        await work
        self._note(Step(what, time.monotonic() - started_s))

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._report(step)
        self._save()

    def _metrics_setting(self) -> dict[str, str]:
        return {METRICS_KEY: ",".join(f"{name}:{port}" for name, port in self._metrics.items())}

    def _save(self) -> None:
        state = SupervisorState(
            supervisor=mark_of(os.getpid()),
            phase=self._phase,
            started_ms=self._started_ms,
            steps=tuple(self._steps),
            units={keeper.unit.name: keeper.state() for keeper in self._keepers()},
            metrics={name: f"http://{HOST}:{port}/metrics" for name, port in self._metrics.items()},
        )
        write_state(self._home.state_file, state)

    async def _mind_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for path in self._home.logs.glob("*.log"):
                await asyncio.to_thread(bound_log, path)


def _given(address: str | None) -> Coroutine[None, None, str] | None:
    """Give the address as something to await; None when there is none."""

    async def known(value: str) -> str:
        return value

    return known(address) if address else None


async def _nothing(work: Awaitable[object]) -> None:
    await work


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
