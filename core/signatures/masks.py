"""What varies from one message to the next, masked by its form.

Masks come before anything is learned, so whatever has such a form never enters a template: numbers and all
other digits, hex, UUIDs, quoted text, URLs, mail addresses, IP addresses, paths, times, long random tokens,
and what stands behind a name like ``password=``. Not promised: names and other plain words, which only
merging removes.
"""

import re
from collections.abc import Callable

TEXT_MAX_CHARS = 2000
"""Of a message are read; the executor keeps as many bytes."""
WORDS_MAX = 48
"""Words of a template: what tells failures apart stands at the beginning."""
WORD_MAX_CHARS = 80
"""A longer word is no word."""
WILDCARD = "<*>"
"""Stands in templates for what differed; never in a masked message."""
MORE = "<more>"
"""Stands for what comes after ``WORDS_MAX``."""
TOKEN = "<token>"  # noqa: S105 - a mask
_LETTERS_A_HUMP_MIN = 3.0
"""Words joined by case, points or lines have more letters each; random letters have fewer than two."""
_QUOTED = re.compile(
    r'"(?:\\.|[^"\\\n])*(?:"|\\?$)'
    r"|(?<!\w)[bBrRuUfF]{0,2}'(?:\\.|[^'\\\n]|'(?=\w))*(?:'|\\?$)"
    r"|`[^`\n]*(?:`|$)|“[^”\n]*(?:”|$)|‘[^’\n]*(?:’|$)|«[^»\n]*(?:»|$)",
    re.MULTILINE,
)
_NAMED_SECRET = re.compile(
    r"\b([\w-]{0,40}(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"authorization|credentials?|cookie|session[_-]?id|signature))([\"']?\s*[=:]\s*)[^\s,;&]+",
    re.IGNORECASE,
)
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def _token(found: re.Match[str]) -> str:
    """Mask a long run of letters unless it reads like words."""
    text = found[0]
    if any(char.isdigit() for char in text):
        return TOKEN
    humps = _HUMP.findall(text)
    letters = sum(map(len, humps))
    wordy = humps and letters / len(humps) >= _LETTERS_A_HUMP_MIN and max(map(len, humps)) <= len(text) / 1.25
    return text if wordy else TOKEN


_Mask = str | Callable[[re.Match[str]], str]
_MASKS: tuple[tuple[re.Pattern[str], _Mask], ...] = (
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+"), " "),
    (re.compile(re.escape(WILDCARD)), "<str>"),
    (_QUOTED, "<str>"),
    (re.compile(r"\b(bearer|basic)\s+[\w+/.=~-]{16,}", re.IGNORECASE), r"\1 <secret>"),
    (_NAMED_SECRET, r"\1\2<secret>"),
    # Prefixes by which Stripe, GitHub, GitLab, Slack, AWS and OpenAI mark what is secret.
    (re.compile(r"\b(?:[srp]k_|gh[opsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|sk-)[\w-]{8,}"), "<secret>"),
    (re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://[^\s<>()\[\]{},;]+"), "<url>"),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    (
        re.compile(
            r"\d{4}-\d\d?-\d\d?(?:[T ]\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"
            r"|(?:[A-Z][a-z]{2}, )?\d\d? [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d(?: GMT)?"
            r"|\b\d\d?:\d\d:\d\d(?:[.,]\d+)?"
        ),
        "<time>",
    ),
    (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+|/\d+)?(?![\d.])"), "<ip>"),
    (re.compile(r"(?<![\w:])\[?(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:\]:\d+)?(?![\w:])"), "<ip>"),
    (
        re.compile(
            r"(?<![\w<>.])(?:[A-Za-z]:\\|\\\\|~?/|\.{1,2}/)[^\s<>:;,()\[\]{}]+"
            r"|(?<![\w/<>.@-])[\w.@-]+(?:/[\w.@-]+){2,}/?"
        ),
        "<path>",
    ),
    (
        re.compile(
            r"\b0[xX][0-9a-fA-F]+|(?<![A-Za-z0-9])(?=\d*[a-fA-F])"
            r"(?:[0-9a-fA-F]{8,}|(?=[a-fA-F]*\d)[0-9a-fA-F]{6,})(?![A-Za-z0-9])"
        ),
        "<hex>",
    ),
    (re.compile(r"(?<![\w+/=<])[\w+/=.~-]{20,}"), _token),
    (re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d+[A-Za-z]+\d)[A-Za-z0-9]{8,}"), TOKEN),
    (re.compile(r"(?:(?<!\w)[-+])?\d+(?:[.,:_]\d+)*(?:[eE][-+]?\d+)?(?:[A-Za-zµ]{1,3}\b|%)?"), "<num>"),
    (re.compile(r"(<\w+>)(?:[\s,;|]+\1)+"), r"\1"),
)


def words_of(message: str) -> tuple[str, ...]:
    """Give the masked words of a message: no digit, and nothing of the forms named above.

    Words are cut at white space. Every form is bounded or begins where no other can, so time is linear.
    """
    text = message[:TEXT_MAX_CHARS]
    if len(message) > TEXT_MAX_CHARS:
        # What is cut in half may have lost the form it is known by.
        text = text.rpartition(" ")[0]
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    words = [word if len(word) <= WORD_MAX_CHARS else TOKEN for word in text.split()]
    return tuple(words) if len(words) <= WORDS_MAX else (*words[:WORDS_MAX], MORE)
