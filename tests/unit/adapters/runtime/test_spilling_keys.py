"""Keys in bounded memory, against a dictionary."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from adapters.runtime.spilling_keys import ENTRY_BYTES, KeyMemory
from core.gates.id_gate import KEY_BYTES, STORED_BYTES, IdGate
from tests.property.test_id_gate import WINDOW_MS, fold, logs, model


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def value(number: int) -> bytes:
    return number.to_bytes(STORED_BYTES, "little")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[KeyMemory]:
    made = KeyMemory(200 * ENTRY_BYTES, str(tmp_path))
    yield made
    for store in list(made._stores):
        store.close()


def test_every_key_is_found_wherever_it_went_and_memory_stays_below_the_limit(memory: KeyMemory) -> None:
    first, second = memory.store(), memory.store()
    for number in range(3000):
        (first if number % 3 else second).put(key(number), value(number))
        assert first.in_memory + second.in_memory <= 200
    assert len(first) + len(second) == 3000
    assert memory.spilled == 3000 - first.in_memory - second.in_memory
    for number in range(3000):
        holder, other = (first, second) if number % 3 else (second, first)
        assert holder.get(key(number)) == value(number)
        assert other.get(key(number)) is None
    assert first.get(key(3001)) is None


def test_below_the_limit_there_is_no_file(memory: KeyMemory, tmp_path: Path) -> None:
    store = memory.store()
    for number in range(200):
        store.put(key(number), value(number))
    assert (memory.spilled, store._file) == (0, None)


def test_a_file_has_no_name_that_could_be_left_over(memory: KeyMemory, tmp_path: Path) -> None:
    store = memory.store()
    for number in range(500):
        store.put(key(number), value(number))
    assert memory.spilled
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_closed_gives_its_room_to_others(memory: KeyMemory) -> None:
    gone, kept = memory.store(), memory.store()
    for number in range(150):
        gone.put(key(number), value(number))
    gone.close()
    for number in range(200):
        kept.put(key(number), value(number))
    assert memory.spilled == 0


def test_a_full_disk_is_an_error_and_forgets_nothing(
    memory: KeyMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(memory, "file", full)
    store = memory.store()
    for number in range(200):
        store.put(key(number), value(number))
    with pytest.raises(sqlite3.OperationalError):
        store.put(key(200), value(200))
    assert [store.get(key(number)) for number in range(201)] == [value(number) for number in range(201)]


@given(logs())
def test_a_gate_answers_as_the_model_wherever_its_keys_are(log: list[object]) -> None:
    memory = KeyMemory(ENTRY_BYTES)
    gate = IdGate("e", WINDOW_MS, memory.store())
    try:
        assert fold(gate, log, 0, len(log)) == model(log)  # type: ignore[arg-type]
        assert fold(gate, log, 0, len(log)) == model(log)  # type: ignore[arg-type]
    finally:
        gate.close()
