"""The key by which an embedded pipeline signs its models."""

import secrets

from adapters.embedded.home import Home, write_atomically


def model_key(home: Home) -> str:
    """Give the key of this data directory; the first time it is made. Only the owner may read its file."""
    if not home.model_key_file.exists():
        write_atomically(home.model_key_file, secrets.token_hex(32).encode())
    return home.model_key_file.read_text(encoding="ascii").strip()
