"""Answers of models on disk, so that the same question is asked once, also by the next command."""

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

KEEP_S = 30 * 86_400
"""After so long a question is asked again: models change behind one name."""
FILES_MAX = 2000
"""Most answers kept, some 600 bytes each; then the older half goes."""


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Give the directory of this user's caches, by the XDG rules."""
    base = environment.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "penstock" / "summaries"


class AnswerCache:
    """Texts by the digest of what they answer. What cannot be read or written is as if it were not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, digest: str) -> str | None:
        """Give the text, None when there is none or it is too old."""
        path = self._directory / digest
        try:
            if time.time() - path.stat().st_mtime > KEEP_S:
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def put(self, digest: str, text: str) -> None:
        """Keep a text; readable by this user alone."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room()
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self._directory, prefix=".", delete=False
            ) as file:
                file.write(text)
            Path(file.name).replace(self._directory / digest)

    def _make_room(self) -> None:
        files = list(self._directory.iterdir())
        if len(files) >= FILES_MAX:
            for path in sorted(files, key=lambda one: one.stat().st_mtime)[: FILES_MAX // 2]:
                path.unlink(missing_ok=True)
