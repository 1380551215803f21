"""What of a failure makes it alike to others: class, type, words, and where in the app it happened."""

import re
from typing import NamedTuple

from core.fault import fault_class
from core.signatures.masks import words_of

NAME_MAX_CHARS = 120
"""Of an error's type, a file or a function."""
_FRAME = re.compile(r'^[ |+]*File "([^"\n]+)", line \d+, in ([\w.<>]+)', re.MULTILINE)
_NOT_THE_APP = re.compile(
    r"[\\/](?:site-packages|dist-packages|python\d[\d.]*)[\\/]|[\\/]penstock[\\/]|^<|[\\/]lib[\\/]python"
)
_RANDOM = re.compile(r"[0-9a-fA-F-]{12,}|\d{4,}")


class Group(NamedTuple):
    """Failures whose words are compared: only these can be alike."""

    error_class: str
    error_type: str
    location: str
    """``file:function``, without directories and lines; empty: not known."""


class Shape(NamedTuple):
    """A failure without what varies."""

    group: Group
    words: tuple[str, ...]


def shape_of(error_class: str, error_type: str, message: str, traceback: str) -> Shape:
    """Give the shape of a failure.

    Parameters
    ----------
    error_class
        As it stands in a record; an unknown one is transient.
    traceback
        As Python prints it; empty: the location is not known.
    """
    location = location_of(traceback.replace(message, "") if message else traceback)
    return Shape(Group(str(fault_class(error_class)), _name(error_type), location), words_of(message))


def location_of(traceback: str) -> str:
    """Give the innermost frame of the app, else the innermost of all, as ``file:function``.

    Without directories and line numbers: the same place has others on another machine and in the next
    version.
    """
    frames = [(path, function) for path, function in _FRAME.findall(traceback)]
    apps = [frame for frame in frames if not _NOT_THE_APP.search(frame[0])]
    if not frames:
        return ""
    path, function = (apps or frames)[-1]
    return f"{_file(path)}:{_name(function)}"


def _file(path: str) -> str:
    *before, name = re.split(r"[\\/]", path)
    # Every package has a file of that name.
    return _name(f"{before[-1]}/{name}" if before and name == "__init__.py" else name)


def _name(text: str) -> str:
    """Bound a name, and hide what of it was made up at run time."""
    return _RANDOM.sub("<num>", " ".join(text.split()))[:NAME_MAX_CHARS]
