"""A thousand types of jobs, for the pipeline that measures them: heartbeats of executors name every type."""

from benchmarks.tasks import MANY, noop
from penstock.task import task

TYPES = 1000

for number in range(TYPES):
    task(MANY.format(number))(noop)
