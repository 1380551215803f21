"""The services of a pipeline as processes: started again when they end, as a supervisor does."""

import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from adapters.embedded.loopback import HOST, PortBook
from adapters.embedded.plan import child_environment
from adapters.embedded.process_mark import children_of
from tests.chaos.history import History
from tests.chaos.rig.process import NOTHING, NotInTimeError, Process, wait_until

RESTART_AFTER_S = 0.5
LOOK_AGAIN_S = 0.05
ASK_AGAIN_S = 0.1
READY_TIMEOUT_S = 60.0
GRACE_S = 25.0


@dataclass
class Instance:
    """One service process under its name."""

    name: str
    service: str
    process: Process
    metrics_port: int
    wanted: bool = True
    exits: list[int] = field(default_factory=list)
    """Exit codes of runs that nobody asked to end; negative: the signal."""
    starts: int = 0
    more: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Environment beside that of its service, from its last revival on."""

    def get(self, path: str, timeout_s: float = 2.0) -> str | None:
        """Give what its HTTP port answers with status 200, None otherwise."""
        try:
            address = f"http://{HOST}:{self.metrics_port}{path}"
            with urllib.request.urlopen(address, timeout=timeout_s) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and says that it does its work."""
        return self.process.is_alive and self.get("/readyz") is not None


class Services:
    """All instances, and the thread that starts again what ended.

    Parameters
    ----------
    environment
        What every service is given.
    own
        More for one service, by its name.
    """

    def __init__(
        self,
        logs: Path,
        environment: Mapping[str, str],
        own: Mapping[str, Mapping[str, str]],
        history: History,
    ) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._own = own
        self._history = history
        self._ports = PortBook(None)
        self._instances: dict[str, Instance] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __getitem__(self, name: str) -> Instance:
        return self._instances[name]

    @property
    def instances(self) -> list[Instance]:
        """All instances ever added."""
        return list(self._instances.values())

    def of(self, service: str) -> list[Instance]:
        """The wanted instances of one service."""
        return [one for one in self.instances if one.service == service and one.wanted]

    def add(self, service: str, count: int = 1) -> list[str]:
        """Start more instances of a service; give their names, which are never used twice."""
        names: list[str] = []
        with self._lock:
            for _ in range(count):
                number = sum(one.service == service for one in self._instances.values())
                names.append(self._start(service, f"{service}-{number}"))
            if not self._keeper.is_alive():
                self._keeper.start()
        return names

    def _start(self, service: str, name: str) -> str:
        port = self._ports.port(name)
        own = {**self._own.get("", {}), **self._own.get(service, {})}
        identity = {"PENSTOCK_INSTANCE": name, "PENSTOCK_METRICS_PORT": str(port)}
        argv = (sys.executable, "-P", "-m", f"services.{service}")
        environment = child_environment(self._environment | own | identity)
        process = Process(argv, log=self._logs / f"{name}.log", env=environment)
        # In this order: the keeper starts again whatever it knows that does not run.
        process.start()
        self._instances[name] = Instance(name, service, process, port, starts=1)
        return name

    def remove(self, name: str, grace_s: float = GRACE_S) -> int | None:
        """End an instance in order and leave it ended; give its exit code."""
        instance = self._instances[name]
        with self._lock:
            instance.wanted = False
        return instance.process.terminate(grace_s)

    def kill(self, name: str) -> None:
        """End an instance without warning; it is started again."""
        self._instances[name].process.kill()

    def pause(self, name: str) -> None:
        """Let the process of an instance (not its workers) run no instruction."""
        self._instances[name].process.pause()

    def resume(self, name: str) -> None:
        """Let it go on."""
        self._instances[name].process.resume()

    def terminate(self, name: str, grace_s: float = GRACE_S) -> int | None:
        """End an instance in order; it is started again."""
        return self._instances[name].process.terminate(grace_s)

    def hold_down(self, name: str) -> None:
        """End an instance without warning and do not start it again until ``revive``."""
        with self._lock:
            self._instances[name].wanted = False
        self._instances[name].process.kill()

    def revive(self, name: str, more: Mapping[str, str] = NOTHING) -> None:
        """Start an instance that was held down or removed, with this environment too from now on."""
        with self._lock:
            instance = self._instances[name]
            instance.more = more
            instance.process.start(more)
            instance.wanted = True
            instance.starts += 1

    def start_once(self, name: str, more: Mapping[str, str]) -> None:
        """Start an instance that was held down, with more environment; when it ends it stays ended."""
        with self._lock:
            instance = self._instances[name]
            assert not instance.wanted, f"{name} is started again whenever it ends"
            instance.starts += 1
            instance.process.start(more)

    def keep(self, name: str) -> None:
        """Start an instance again from now on whenever it has ended, as it was at first."""
        with self._lock:
            self._instances[name].wanted = True

    def worker_pids(self, name: str) -> list[int]:
        """Give the pids of an executor's worker processes."""
        return sorted(pid for pid in children_of(self._instances[name].process.pid) if _is_worker(pid))

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once all wanted instances say that they do their work."""
        try:
            wait_until(lambda: not self.unready(), "all services ready", timeout_s, ASK_AGAIN_S)
        except NotInTimeError as error:
            raise NotInTimeError(f"{error}; not ready: {', '.join(self.unready())}") from None

    def unready(self) -> list[str]:
        """Name the wanted instances that are not ready."""
        return [one.name for one in self.instances if one.wanted and not one.is_ready]

    def wait_restarted(self, name: str, starts: int, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once an instance that had been started ``starts`` times was started again and is ready."""
        instance = self._instances[name]
        wait_until(
            lambda: instance.starts > starts and instance.is_ready,
            f"{name} again, and ready",
            timeout_s,
            ASK_AGAIN_S,
        )

    def close(self) -> None:
        """End everything in order, paused or not; returns when nothing runs."""
        self._closing.set()
        with self._lock:
            for instance in self.instances:
                instance.wanted = False
                instance.process.ask_to_stop()
        for instance in self.instances:
            instance.process.terminate(GRACE_S)

    def _keep(self) -> None:
        while not self._closing.wait(LOOK_AGAIN_S):
            for instance in self.instances:
                if instance.wanted and not instance.process.is_alive:
                    self._again(instance)

    def _again(self, instance: Instance) -> None:
        code = instance.process.exit_code
        instance.exits.append(0 if code is None else code)
        self._history.add("note", f"{instance.name} ended", exit_code=instance.exits[-1])
        time.sleep(RESTART_AFTER_S)
        with self._lock:
            if instance.wanted and not instance.process.is_alive and not self._closing.is_set():
                instance.process.start(instance.more)
                instance.starts += 1


def _is_worker(pid: int) -> bool:
    try:
        return b"penstock.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
