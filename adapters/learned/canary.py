"""Tries a model out before it is used: whose it is, what it is for, and what it does in a process apart."""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeVar

import msgspec

from adapters.embedded.plan import child_environment, module_command
from adapters.learned.heads import Heads, unpack
from adapters.learned.recovery_bytes import Parts, unpack_recovery
from adapters.learned.trial_terms import Limits, Tried
from core.retrying.recovery import Recovery
from ports.model_watch import RefusedModelError
from ports.models import Model
from ports.training import RECOVERY, Kind
from schemas.model_fit import misfit_of
from schemas.model_signature import is_signed
from schemas.models import ModelManifest, Purpose, sha256_of

TOLERANCE = 1e-4
"""Predictions of the probe may differ by so much from those where it was made: other processors add in
another order, which is a hundred times less."""
KINDS: Mapping[Purpose, tuple[str, ...]] = {
    Purpose.ORDER: (Kind.BOOSTED.value, Kind.TREE.value),
    Purpose.RETRY: (RECOVERY,),
}
_KEPT = ("PATH", "LANG", "LC_ALL", "HOME", "LD_LIBRARY_PATH")
"""All of our environment that a throwaway process sees: it must not know an address, a password or a key."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

logger = logging.getLogger(__name__)
Pieces = TypeVar("Pieces", Heads, Parts)


class Canary:
    """Decides whether a model may be used.

    Parameters
    ----------
    key
        Manifests must be signed with it; None: the digest alone counts, which is said in the log once.
    limits
        Of the throwaway process.
    command
        Starts one; its last argument is ``limits`` as JSON.
    """

    def __init__(
        self,
        key: bytes | None,
        limits: Limits | None = None,
        command: tuple[str, ...] = module_command("adapters.learned.throwaway"),
    ) -> None:
        self._key = key
        self._limits = limits or Limits()
        self._command = command
        if key is None:
            logger.warning(
                "models are used without a signature: who can write to the topic `models` can publish one; "
                "set PENSTOCK_MODEL_KEY for trainer, prioritizers, dlq_handlers and people"
            )

    async def try_out(self, manifest: ModelManifest, data: bytes) -> Model:
        """Give the model that orders jobs of these bytes, loaded in this process.

        Raises
        ------
        RefusedModelError
            It must not be used; with the remedy. It was not loaded here.
        """
        heads = await self._good(manifest, data, Purpose.ORDER, unpack)
        return await asyncio.to_thread(_loaded, manifest.id, heads)

    async def try_out_recovery(self, manifest: ModelManifest, data: bytes) -> Recovery:
        """Give the model of recoveries of these bytes, loaded in this process.

        Raises
        ------
        RefusedModelError
            It must not be used; with the remedy. Its trees were not loaded here.
        """
        parts = await self._good(manifest, data, Purpose.RETRY, unpack_recovery)
        return await asyncio.to_thread(_loaded_recovery, manifest.id, parts)

    async def check(self, manifest: ModelManifest, data: bytes) -> None:
        """Ask that a model may be used for what its manifest says; it is not loaded here.

        Raises
        ------
        RefusedModelError
            It must not be used; with the remedy.
        """
        if manifest.purpose == Purpose.RETRY:
            await self._good(manifest, data, Purpose.RETRY, unpack_recovery)
        else:
            await self._good(manifest, data, Purpose.ORDER, unpack)

    async def _good(
        self, manifest: ModelManifest, data: bytes, purpose: Purpose, read: Callable[[bytes], Pieces]
    ) -> Pieces:
        """Give what a model is made of, once it has shown itself in a process apart."""
        self._require_ours(manifest, data, purpose)
        try:
            pieces = read(data)
        except ValueError as error:
            raise RefusedModelError(f"{error}: publish it again, or train another") from error
        compare(manifest, await self._thrown_away(data))
        return pieces

    def _require_ours(self, manifest: ModelManifest, data: bytes, purpose: Purpose) -> None:
        if sha256_of(data) != manifest.sha256:
            raise RefusedModelError("its bytes have not the digest in its manifest: publish it again")
        if self._key is not None and not is_signed(manifest, self._key):
            said = "signed with another key, or changed since" if manifest.signature else "not signed"
            raise RefusedModelError(
                f"its manifest is {said}: train a model where PENSTOCK_MODEL_KEY is the same as here"
            )
        if manifest.purpose != purpose:
            raise RefusedModelError(
                f"it is for {manifest.purpose!r}, not {purpose.value!r}: promote one that is for this"
            )
        if manifest.kind not in KINDS[purpose]:
            raise RefusedModelError(
                f"kind {manifest.kind!r} is none of {', '.join(KINDS[purpose])}: train it with this version"
            )
        problem = misfit_of(manifest)
        if problem is not None:
            raise RefusedModelError(f"{problem}: train a model with this version")

    async def _thrown_away(self, data: bytes) -> Tried:
        """Let a process of its own try the model; whatever becomes of it, none is left."""
        limits = self._limits
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _ONE_THREAD
        process = await asyncio.create_subprocess_exec(
            *self._command,
            msgspec.json.encode(limits).decode(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=child_environment(environment),
            process_group=0,
        )
        try:
            async with asyncio.timeout(limits.wall_s):
                output, errors = await process.communicate(data)
        except TimeoutError as error:
            raise RefusedModelError(
                f"trying it out took more than {limits.wall_s:.0f} s: if the machine is not overloaded, "
                "it is damaged; train another"
            ) from error
        finally:
            await _ended(process)
        try:
            return msgspec.json.decode(output, type=Tried)
        except msgspec.DecodeError as error:
            raise RefusedModelError(_crash(process.returncode or 0, errors)) from error


def compare(manifest: ModelManifest, tried: Tried) -> None:
    """Ask that a model predicted of the probe what it did where it was made.

    Raises
    ------
    RefusedModelError
        It did not, or did not predict.
    """
    if tried.problem:
        raise RefusedModelError(f"{tried.problem}: it is damaged; train another")
    for name, here, there in (
        ("log_run", tried.log_run, manifest.probe_log_run),
        ("failed", tried.failed, manifest.probe_failed),
    ):
        if len(here) != len(there):
            raise RefusedModelError(
                f"its manifest has {len(there)} predictions `{name}` of {len(here)} probes: "
                "train a model with this version"
            )
        # Asked so that what is no number is too far.
        too_far = [abs(a - b) for a, b in zip(here, there, strict=True) if not abs(a - b) <= TOLERANCE]
        if too_far:
            raise RefusedModelError(
                f"its `{name}` of a probe is {max(too_far):.3g} away from what it was where it was made "
                f"(at most {TOLERANCE:g}): it is damaged, or this XGBoost reads it otherwise; train another"
            )


def _crash(returncode: int, errors: bytes) -> str:
    """Say how a throwaway process ended that gave no answer."""
    last = errors.decode(errors="replace").strip().splitlines()[-1:]
    if returncode < 0:
        ended = f"it was ended by {signal.Signals(-returncode).name}"
    else:
        ended = f"it ended with {returncode}"
    why = f" ({last[0][:300]})" if last else ""
    return f"{ended} when it was tried out{why}: it is damaged; train another"


async def _ended(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _loaded(name: str, heads: Heads) -> Model:
    """Load it here; imported only now, so that who has no model has no XGBoost in memory."""
    model: Model = import_module("adapters.learned.boosted").BoostedModel(name, heads)
    return model


def _loaded_recovery(name: str, parts: Parts) -> Recovery:
    model: Recovery = import_module("adapters.learned.recovery").RecoveryModel(name, *parts)
    return model
