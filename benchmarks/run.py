"""One run: stages alone first, while nothing else runs, then everything that needs a pipeline."""

from collections.abc import Callable

import msgspec

from benchmarks.batches import measure_batches
from benchmarks.costs import measure_costs
from benchmarks.gates import measure_gates
from benchmarks.growth import measure_growth
from benchmarks.handlers import measure_handlers
from benchmarks.latency import measure_idle, measure_latency
from benchmarks.log import measure_log
from benchmarks.machine import data_directory, this_machine
from benchmarks.options import OWN, Options, Part
from benchmarks.pipeline import Pipeline, running
from benchmarks.results import Results
from benchmarks.scale.sweep import measure_scale
from benchmarks.scoring import measure_scoring
from benchmarks.sink import measure_sink
from benchmarks.stages import measure_stages
from benchmarks.stealing import Load, measure_stealing
from benchmarks.throughput import measure_records, measure_throughput, warm_up
from benchmarks.wheel import WheelLoad, measure_wheel

Say = Callable[[str], None]


async def run(options: Options, say: Say) -> Results:
    """Measure what was asked for.

    Raises
    ------
    benchmarks.pipeline.BenchmarkError
        The pipeline could not be brought up, or did not do its work.
    """
    results = Results(this_machine())
    if Part.STAGES in options.parts:
        say("stages alone")
        stages = measure_stages(repeats=options.repeats, least_s=options.least_s)
        results = msgspec.structs.replace(results, stages=stages)
    if Part.SCORING in options.parts:
        say("training a model of full size, then scoring by it")
        scoring = measure_scoring(repeats=options.repeats, least_s=options.least_s)
        results = msgspec.structs.replace(results, scoring=scoring)
    if Part.HANDLERS in options.parts:
        say("tasks in a worker process, without a pipeline")
        results = msgspec.structs.replace(results, handlers=await measure_handlers(options.handler_jobs))
    if Part.SCALE in options.parts:
        results = msgspec.structs.replace(results, scale=measure_scale(say, results.machine.cores))
    with data_directory("run") as data:
        if Part.STEALING in options.parts:
            say(f"heavy-tailed load with stealing on, then off, {options.steal_s:g} s each")
            load = Load(options.steal_s, options.load)
            results = msgspec.structs.replace(results, stealing=await measure_stealing(data, load))
        if Part.WHEEL in options.parts:
            say(f"{options.waiting} waiting jobs beside others, then {options.due} due within a minute")
            wheel = WheelLoad(options.waiting, options.jobs, options.due, options.span_s, options.rounds)
            results = msgspec.structs.replace(results, wheel=await measure_wheel(data / "wheel", wheel))
        if Part.COSTS in options.parts:
            say("costs by partitions, instances, payload and failures")
            costs = await measure_costs(data, options.jobs, options.rounds, options.shapes, say)
            results = msgspec.structs.replace(results, costs=costs)
        if Part.GROWTH in options.parts:
            growth = await measure_growth(data, options.jobs, options.rounds, options.sizes, say)
            results = msgspec.structs.replace(results, growth=growth)
        if not options.parts - OWN:
            return results
        say("bringing up a pipeline")
        async with running(data / "usual") as pipeline:
            return await _on(pipeline, options, say, results)


async def _on(pipeline: Pipeline, options: Options, say: Say, results: Results) -> Results:
    found: dict[str, object] = {}
    if Part.STAGES in options.parts:
        say("clients of the broker")
        found["log"] = await measure_log(pipeline.kafka, batches=options.log_batches, repeats=options.repeats)
        say("rows written to Postgres")
        found["table"] = await measure_sink(pipeline, batches=options.log_batches, repeats=options.repeats)
    if Part.BATCHES in options.parts:
        say("batches of one call")
        calls = options.log_batches * 4
        found["batches"] = await measure_batches(pipeline, calls=calls, repeats=options.repeats)
    if options.parts - {Part.STAGES, Part.BATCHES}:
        say("warming up")
        await warm_up(pipeline)
    if Part.LATENCY in options.parts:
        say(f"idle for {options.idle_s:g} s")
        found["idle"] = await measure_idle(pipeline, options.idle_s)
        rates = []
        for rate in options.rates:
            say(f"{rate:g} jobs/s for {options.seconds:g} s")
            rates.append(await measure_latency(pipeline, rate, options.seconds))
        found["latency"] = tuple(rates)
    if Part.THROUGHPUT in options.parts:
        rounds = []
        for number in range(1, options.rounds + 1):
            say(f"{options.jobs} jobs at once, round {number} of {options.rounds}")
            rounds.append(await measure_throughput(pipeline, options.jobs))
        found["throughput"] = tuple(rounds)
        say(f"{options.jobs} records of a producer of its own")
        found["records"] = (await measure_records(pipeline, options.jobs),)
    if Part.GATES in options.parts:
        say(f"{options.jobs} ordered jobs at once, then some of one key")
        found["gates"] = await measure_gates(pipeline, options.jobs)
    return msgspec.structs.replace(results, **found)
