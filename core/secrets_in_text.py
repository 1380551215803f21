"""Hiding what looks like a secret in free text, for text that leaves the process.

A second net: what producers called sensitive is hidden by value before (``core.masking``). These patterns
know common forms alone; what is a secret by agreement only, they cannot see.
"""

import re

MASK = "***"
_NAMED = (
    r"password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential"
    r"|authorization|cookie|session[_-]?id"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}-----|\Z)", re.DOTALL),
        MASK,
    ),
    # Credentials of an address, up to the last @ before its path.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/?#\"']{1,400}@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(
            rf"(?i)(\b[\w.-]{{0,40}}(?:{_NAMED})[\w.-]{{0,20}}[\"']?\s{{0,3}}(?:[:=]|=>)\s{{0,3}})"
            r"(?:\"[^\"\n]*\"?|'[^'\n]*'?|[^\s,;&}\])]+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"), MASK),
    (
        re.compile(
            r"\b(?:(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}|gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
            r"|glpat-[\w-]{12,}|xox[abeoprs]-[\w-]{8,}|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{20,})"
        ),
        MASK,
    ),
    (re.compile(r"[\w.+%-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"), MASK),
    (re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])"), MASK),
    (re.compile(r"(?<![\w+=-])(?=[A-Za-z_+=-]*\d)(?=[\d_+=-]*[A-Za-z])[\w+=-]{32,}"), MASK),
)
"""Time is linear in the text: every repetition is bounded, or ends where its class ends."""


def mask_secrets(text: str) -> str:
    """Replace what looks like a secret by ``***``.

    Keys, tokens, passwords and cookies by their names or forms, credentials in addresses, e-mail addresses,
    numbers as long as those of cards, and long random words.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
