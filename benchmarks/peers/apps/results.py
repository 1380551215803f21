"""Final states in Redis: what stands under a job's key once it has ended."""

from collections.abc import Sequence

from redis import Redis


class Results:
    """Reads the keys in which a peer keeps final states.

    Parameters
    ----------
    ended
        Text that the value of a job that ended well contains; a failed one is never seen as ended.
    """

    def __init__(self, url: str, ended: bytes) -> None:
        self._redis = Redis.from_url(url)
        self._ended = ended

    def ended(self, keys: Sequence[str]) -> set[str]:
        """Give the keys whose value says so, in one request."""
        values = self._redis.mget(keys)
        return {key for key, value in zip(keys, values, strict=True) if value and self._ended in value}

    def ended_in_lists(self, keys: Sequence[str]) -> set[str]:
        """Do the same where each key holds a list of one value."""
        with self._redis.pipeline(transaction=False) as asked:
            for key in keys:
                asked.lindex(key, 0)
            values = asked.execute()
        return {key for key, value in zip(keys, values, strict=True) if value and self._ended in value}
