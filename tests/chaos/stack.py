"""Everything a scenario runs on: brokers, database, effects database, services; built once, shared."""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from adapters.kafka.topology import route_map
from adapters.prepare import prepare
from core.services import LEARNING
from penstock.connection import DatabaseConnection, KafkaConnection, PipelineNames
from tests.chaos.effects import create_effects
from tests.chaos.history import History, boot_s
from tests.chaos.layouts import start_servers
from tests.chaos.rig.postgres import Postgres
from tests.chaos.sent import SentLedger
from tests.chaos.services import Services
from tests.chaos.spec import StackSpec

SERVICES = ("ingest", "scheduler", "prioritizer", "dlq_handler", "materializer")
READY_TIMEOUT_S = 120.0
APP_PATH = Path(__file__).with_name("app")


class Stack:
    """A running pipeline with everything it needs; ``close`` leaves nothing behind.

    Attributes
    ----------
    servers
        Brokers and database, what faults are done to, and what the layout put in between.
    cluster, postgres
        The same brokers and database.
    servers_took_s
        To come up, on this machine as busy as it is.
    witness, effects_url
        The ledger of effects, on a server of its own.
    environment
        What every service is given.
    """

    def __init__(self, spec: StackSpec, directory: Path) -> None:
        self.spec = spec
        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)
        self.marks = directory / "marks"
        self.marks.mkdir(parents=True)
        self.logs = directory / "logs"
        self.history = History(directory / "history.jsonl")
        self.sent = SentLedger(directory / "sent.jsonl")
        self._exits = ExitStack()
        self._exits.callback(self.history.close)
        self._exits.callback(self.sent.close)
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        start, began_s = time_of(self.history), boot_s()
        self.servers = start_servers(self.spec, self.directory, self._exits)
        self.servers_took_s = boot_s() - began_s
        self.cluster, self.postgres = self.servers.cluster, self.servers.postgres
        # No fault touches it, so it need not survive one: what it knows is in the memory of its machine.
        unsafe = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self.witness = Postgres(self.directory / "effects", settings=unsafe)
        self._exits.callback(self.witness.close)
        self.witness.start()
        self.effects_url = self.witness.url
        create_effects(self.effects_url)
        start("servers")
        self.kafka = KafkaConnection(bootstrap=self.cluster.bootstrap)
        self.database_url = self.servers.database_url
        self.database = DatabaseConnection(url=SecretStr(self.database_url))
        self.names = PipelineNames(
            topic_prefix="", partitions=self.spec.partitions, replication=self.cluster.replication
        )
        self.routes = route_map(self.names)
        _, self.epoch = asyncio.run(prepare(self.kafka, self.database, self.names))
        start("topics and tables")
        self.environment = self._environment()
        self.services = Services(self.logs, self.environment, self.spec.services, self.history)
        self._exits.callback(self.services.close)
        for service in (*SERVICES, *(LEARNING if self.spec.learning else ())):
            self.services.add(service)
        self.services.add("executor", self.spec.executors)
        self.services.wait_ready(READY_TIMEOUT_S)
        start("services")

    def _environment(self) -> dict[str, str]:
        spec = self.spec
        return {
            **_inherited(),
            "PENSTOCK_KAFKA_BOOTSTRAP": self.cluster.bootstrap,
            "PENSTOCK_DATABASE_URL": self.database_url,
            "PENSTOCK_TOPIC_PREFIX": self.names.topic_prefix,
            "PENSTOCK_PARTITIONS": str(spec.partitions),
            "PENSTOCK_REPLICATION": str(self.cluster.replication),
            "PENSTOCK_LEASE_S": str(spec.lease_s),
            "PENSTOCK_HEARTBEAT_S": str(spec.heartbeat_s),
            "PENSTOCK_WORKERS": str(spec.workers),
            "PENSTOCK_SLOTS": str(spec.slots),
            # The audit reads topics when a scenario is over, so nothing may be trimmed meanwhile.
            "PENSTOCK_JANITOR_S": "86400",
            # Kinds of this load fail on purpose, by the number of the attempt, as no outage does. The
            # scenario that is about outages switches circuits on.
            "PENSTOCK_CIRCUITS": "off",
            "PENSTOCK_RETRY_BUDGET_FLOOR_PER_S": "1000",
            "PENSTOCK_APP": "jobs_of_chaos",
            "PENSTOCK_APP_PATH": str(APP_PATH),
            "CHAOS_EFFECTS_URL": self.effects_url,
            "CHAOS_MARKS": str(self.marks),
        }

    def close(self) -> None:
        """Stop everything, the last started first; a second time nothing happens."""
        self._exits.close()


def time_of(history: History) -> Callable[[str], None]:
    """Give a function that notes what has just been brought up."""

    def note(what: str) -> None:
        history.add("phase", f"{what} up")

    return note


def _inherited() -> Mapping[str, str]:
    """Give the driver's environment without what would point a service elsewhere."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PENSTOCK_")}
