"""``python -m penstock.worker CONFIG``: started by the executor only, with a socket it inherits."""

import asyncio
import gc
import socket
import sys

import msgspec

from penstock.errors import AppImportError
from penstock.worker.app import load_app, policies
from penstock.worker.frames import Ready, StartFailed, WorkerConfig
from penstock.worker.outbox import Outbox
from penstock.worker.reader import Reader
from penstock.worker.runner import Runner
from penstock.worker.watchdog import LeaseTimer, die_with_parent

_EXIT_APP = 3


def main(config: WorkerConfig) -> int:
    """Run jobs until told to leave; give the exit status."""
    die_with_parent(config.parent_pid)
    lease = LeaseTimer()
    channel = socket.socket(fileno=config.fd)
    # A handler's own child processes must not keep the pipe open.
    channel.set_inheritable(False)
    with asyncio.Runner() as asyncio_runner:
        loop = asyncio_runner.get_loop()
        outbox = Outbox(channel, loop)
        runner = Runner(loop, outbox, slots=config.slots, result_max_bytes=config.result_max_bytes)
        Reader(channel, loop, runner, outbox, lease).start()
        try:
            registry = load_app(config.app, config.app_path)
        except AppImportError as error:
            outbox.send(StartFailed(str(error)))
            outbox.drain()
            return _EXIT_APP
        runner.use(registry)
        gc.collect()
        gc.freeze()
        outbox.send(Ready(policies(registry)))
        asyncio_runner.run(runner.left())
        outbox.drain()
    return 0


if __name__ == "__main__":
    sys.exit(main(msgspec.json.decode(sys.argv[1], type=WorkerConfig)))
