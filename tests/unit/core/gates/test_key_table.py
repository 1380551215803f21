import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gates.key_table import KeyTable

_KEYS = st.binary(min_size=2, max_size=2)
_VALUES = st.binary(min_size=3, max_size=3)


@given(st.lists(st.tuples(_KEYS, _VALUES), max_size=2000))
def test_it_holds_what_a_dict_holds(entries: list[tuple[bytes, bytes]]) -> None:
    table, expected = KeyTable(2, 3), {}
    for key, value in entries:
        table.put(key, value)
        expected[key] = value
    assert len(table) == len(expected)
    assert all(table.get(key) == expected.get(key) for number in range(65536) for key in [number.to_bytes(2)])


def test_keys_and_values_of_zero_bytes_are_entries_like_others() -> None:
    table = KeyTable(16, 26)
    assert table.get(bytes(16)) is None
    table.put(bytes(16), bytes(26))
    assert table.get(bytes(16)) == bytes(26)
    assert len(table) == 1


@pytest.mark.parametrize(("key", "value"), [(b"k", b"123"), (b"ke", b"12")])
def test_another_size_is_refused(key: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        KeyTable(2, 3).put(key, value)


def test_a_remembered_key_costs_less_than_a_hundred_bytes_whatever_the_count() -> None:
    table = KeyTable(16, 26)
    for number in range(60_000):
        table.put(number.to_bytes(16), bytes(26))
        # Below 20,000 entries the smallest shards weigh more than their content.
        if number > 20_000 and number % 1000 == 0:
            assert table.size_bytes <= 100 * number
