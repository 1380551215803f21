"""Who may say what decides: signatures of manifests, which name the bytes they speak of by digest."""

import hmac

import msgspec

from schemas.models import ModelManifest, signed_part


def signed(manifest: ModelManifest, key: bytes) -> ModelManifest:
    """Give the manifest with its signature; an earlier one is replaced."""
    return msgspec.structs.replace(manifest, signature=_signature(manifest, key))


def is_signed(manifest: ModelManifest, key: bytes) -> bool:
    """Whether somebody with this key said all of it."""
    return hmac.compare_digest(_signature(manifest, key).encode(), manifest.signature.encode())


def _signature(manifest: ModelManifest, key: bytes) -> str:
    return hmac.new(key, signed_part(manifest), "sha256").hexdigest()
