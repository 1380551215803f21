"""Who is taken before a queued job: the law of ``core.head_order``, asked from outside the executors."""

from core.buckets import BUCKETS, bucket_head_start_s


def taken_before_ms(ready_ms: float, bucket: int, per_decade_s: float) -> tuple[float, ...]:
    """Give, for every bucket, the ready time below which its jobs are taken before this one.

    It is also until when a job that comes into that bucket still overtakes this one. In the job's own
    bucket it is the job's own ready time: first in, first out.

    Parameters
    ----------
    ready_ms
        When the job became ready.
    per_decade_s
        Head start per factor ten of predicted cost, as the executors have it.
    """
    own_s = bucket_head_start_s(bucket, per_decade_s)
    return tuple(
        ready_ms + (bucket_head_start_s(other, per_decade_s) - own_s) * 1000 for other in range(BUCKETS)
    )
