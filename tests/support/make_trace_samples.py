"""Writes the samples of both trace formats: ``python -m tests.support.make_trace_samples``.

Made by seeded dice after the published descriptions of the formats; no line is taken from a recording.
"""

import random
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data"
GOOGLE_SAMPLE = FOLDER / "google2011_sample.csv"
SWF_SAMPLE = FOLDER / "sample.swf"
ROWS = 200
SEED = 20110501


def google_sample() -> str:
    """A jobs file as in clusterdata-2011-2, folded to one row a job."""
    dice = random.Random(SEED)
    lines = ["job,submit_ms,sched_ms,end_ms,end,user,type,name,cls"]
    submit_ms = 600_000
    for job in range(ROWS):
        submit_ms += int(dice.expovariate(1 / 4_000))
        sched_ms = submit_ms + dice.randrange(500, 3_000)
        end = dice.choices(["FINISH", "KILL", "FAIL", "EVICT", "LOST", ""], [64, 28, 4, 2, 1, 1])[0]
        end_ms = str(sched_ms + int(dice.lognormvariate(11.5, 1.6) + 1)) if end else ""
        user, kind = dice.randrange(12), dice.randrange(40)
        lines.append(
            f"{job},{submit_ms},{sched_ms},{end_ms},{end},{user},{kind},{job % 90},{dice.randrange(4)}"
        )
    return "\n".join(lines) + "\n"


def swf_sample() -> str:
    """A batch log in the Standard Workload Format, version 2.2."""
    dice = random.Random(SEED)
    lines = ["; Version: 2.2", "; Computer: none, this log is made up", f"; MaxJobs: {ROWS}", ";"]
    submit_s = 0
    for job in range(1, ROWS + 1):
        submit_s += int(dice.expovariate(1 / 700))
        status = dice.choices([1, 0, 5], [72, 6, 22])[0]
        started = status != 5 or dice.random() < 0.6
        run_s = int(dice.lognormvariate(6, 2)) if started else -1
        fields = [job, submit_s, dice.randrange(9_000), run_s, dice.choice([1, 2, 8, 32]), run_s, -1]
        fields += [fields[4], 3_600 * dice.randrange(1, 24), -1, status, dice.randrange(1, 30), 7]
        fields += [dice.choice([-1, *range(100, 130)]), dice.randrange(1, 6), -1, -1, -1]
        lines.append(" ".join(f"{field:>5}" for field in fields))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both files."""
    FOLDER.mkdir(exist_ok=True)
    GOOGLE_SAMPLE.write_text(google_sample(), encoding="utf-8")
    SWF_SAMPLE.write_text(swf_sample(), encoding="utf-8")


if __name__ == "__main__":
    main()
