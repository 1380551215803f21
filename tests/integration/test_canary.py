"""Damaged models in a throwaway process: it may end as it likes, and this one goes on."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adapters.learned.boosted import BoostedModel
from adapters.learned.canary import Canary
from adapters.learned.heads import Heads, pack, unpack
from adapters.learned.probe import probe_vectors
from adapters.learned.trial_terms import Limits
from ports.model_watch import RefusedModelError
from schemas.model_signature import signed
from schemas.models import ModelManifest, sha256_of
from tests.support.models_under_test import a_manifest
from tests.support.small_models import probed, published, small_heads, with_node

KEY = b"a key that nobody knows"


def children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


async def refused(canary: Canary, manifest: ModelManifest, data: bytes) -> str:
    before = children()
    with pytest.raises(RefusedModelError) as said:
        await canary.try_out(manifest, data)
    assert children() <= before, "a process is left"
    return str(said.value)


def of_bytes(data: bytes) -> ModelManifest:
    """Speak of damaged bytes as if they were meant: whoever damaged them has the key."""
    manifest = a_manifest(data)
    good = published(small_heads())[0]
    return msgspec.structs.replace(manifest, probe_log_run=good.probe_log_run, probe_failed=good.probe_failed)


async def test_a_good_model_is_given_and_predicts_as_where_it_was_made() -> None:
    manifest, data = published(small_heads())
    model = await Canary(KEY).try_out(signed(manifest, KEY), data)
    assert model.name == manifest.id
    here = BoostedModel("", small_heads()).predict(probe_vectors())
    assert np.array_equal(model.predict(probe_vectors()).log_run, here.log_run)


async def test_an_edited_tree_kills_whoever_predicts_with_it_and_is_refused_here() -> None:
    edited = with_node(small_heads(), "left_children", 1_000_000)
    data = pack(edited)
    program = (
        "import sys; from adapters.learned.boosted import BoostedModel\n"
        "from adapters.learned.heads import unpack\n"
        "from adapters.learned.probe import probe_vectors\n"
        "model = BoostedModel('', unpack(sys.stdin.buffer.read())); print('loaded', flush=True)\n"
        "model.predict(probe_vectors())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(data)
    # Without this the rest would show nothing: it loads, and crashes only when it predicts.
    assert output == b"loaded\n"
    assert process.returncode is not None
    assert process.returncode < 0
    assert "a child that is not one" in await refused(Canary(None), of_bytes(data), data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda heads: with_node(heads, "split_indices", 99_999), "splits by a column"),
        (
            lambda heads: heads._replace(run=(heads.run[0]._replace(ubj=heads.run[0].ubj[:-200]),)),
            "not a booster",
        ),
        (lambda heads: heads._replace(failed=heads.run), "away from what it was"),
    ],
    ids=["a column that is not there", "cut off", "heads exchanged"],
)
async def test_a_damaged_model_is_refused(damage: Callable[[Heads], Heads], words: str) -> None:
    data = pack(damage(small_heads()))
    assert words in await refused(Canary(None), of_bytes(data), data)


async def test_flipped_bits_are_refused_or_change_nothing() -> None:
    good = pack(small_heads())
    dice = np.random.default_rng(7)
    for at in dice.integers(len(good) // 10, len(good), 2).tolist():
        data = bytearray(good)
        data[at] ^= 1 << int(dice.integers(8))
        if sha256_of(bytes(data)) != sha256_of(good):
            try:
                model = await Canary(None).try_out(of_bytes(bytes(data)), bytes(data))
            except RefusedModelError:
                continue
            said = model.predict(probe_vectors())
            assert np.allclose(said.log_run, probed(a_manifest(good), unpack(good)).probe_log_run, atol=1e-4)


@pytest.mark.parametrize(
    ("program", "limits", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", Limits(), "ended by SIGSEGV when it was tried out"),
        ("import time; time.sleep(60)", Limits(wall_s=0.5), r"more than 0 s"),
        ("while True: pass", Limits(cpu_s=1), "ended by SIG(XCPU|KILL)"),
        ("bytearray(3 << 30)", Limits(), "MemoryError"),
        ("open('written', 'wb', buffering=0).write(b'x' * 9)", Limits(), "OSError|SIGXFSZ"),
        ("print('{')", Limits(), "ended with 0 when it was tried out"),
    ],
    ids=["crashes", "hangs", "spins", "takes memory", "writes files", "says nothing"],
)
async def test_whatever_a_trial_does_it_ends_and_the_model_is_refused(
    program: str, limits: Limits, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    confined = (
        "import sys, msgspec; from adapters.learned.throwaway import confine\n"
        "from adapters.learned.trial_terms import Limits\n"
        f"confine(msgspec.json.decode(sys.argv[1], type=Limits))\n{program}"
    )
    manifest, data = published(small_heads())
    canary = Canary(None, limits, (sys.executable, "-c", confined))
    assert re.search(words, await refused(canary, manifest, data))


async def test_a_trial_that_is_cancelled_leaves_no_process() -> None:
    manifest, data = published(small_heads())
    before = children()
    canary = Canary(None, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    task = asyncio.create_task(canary.try_out(manifest, data))
    async with asyncio.timeout(20):
        while children() <= before:  # noqa: ASYNC110 - a process is no event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert children() <= before


async def test_a_throwaway_process_knows_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_PENSTOCK_DATABASE_URL", "postgresql://a:secret@h/db")
    manifest, data = published(small_heads())
    canary = Canary(
        None, command=(sys.executable, "-c", "import os; raise SystemExit(str(sorted(os.environ)))")
    )
    said = await refused(canary, manifest, data)
    assert "PATH" in said
    assert "PENSTOCK" not in said
