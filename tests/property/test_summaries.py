"""Laws of summaries: always a few short lines of seen text, the same for the same facts; and of masks."""

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from core.secrets_in_text import mask_secrets
from core.summaries import (
    LINE_MAX_CHARS,
    LINES_MAX,
    Facts,
    accepted,
    clean,
    extractive,
    is_sound,
    question,
)

TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        '  File "/app/mail.py", line 7, in send\n',
        '  File "/x/site-packages/y.py", line 9, in post\n',
        "connection refused by peer",
        "long " * 60,
        "\x1b[31mred\x1b[0m\ttab\r\nline",
    ]
)
FACTS = st.builds(
    Facts,
    st.sampled_from(["group", "job"]),
    st.lists(TEXTS, max_size=3).map(tuple),
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.lists(TEXTS, max_size=4).map(tuple),
    st.lists(TEXTS, max_size=4).map(tuple),
)


def is_seen(text: str) -> bool:
    return all(unicodedata.category(char)[0] != "C" for char in text)


@given(FACTS)
def test_the_words_of_an_error_make_one_to_three_short_lines(facts: Facts) -> None:
    lines = extractive(facts.through(mask_secrets))
    assert 1 <= len(lines) <= LINES_MAX
    assert all(line and len(line) <= LINE_MAX_CHARS and is_seen(line) for line in lines)
    assert lines == extractive(facts.through(mask_secrets))


@given(st.text(max_size=900))
def test_an_answer_is_short_seen_text_or_none(answer: str) -> None:
    lines = accepted(answer)
    if lines is not None:
        assert 1 <= len(lines) <= LINES_MAX
        assert all(line and len(line) <= LINE_MAX_CHARS and is_seen(line) for line in lines)
        assert is_sound(lines)


@given(FACTS)
def test_data_end_once_and_read_back(facts: Facts) -> None:
    _, data = question(facts)
    assert data.count("</data>") == data.count("<data>") == 1
    inside = json.loads(data.removeprefix("<data>").removesuffix("</data>"))
    assert inside["message"] == facts.message


@given(st.text(max_size=200))
def test_cleaned_text_is_clean(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert is_seen(clean(text).replace("\n", ""))


SECRET = st.from_regex(r"[A-Za-z0-9]{12,40}", fullmatch=True)
AROUND = st.text(st.sampled_from("abc .,\n"), max_size=30)
FORMS = st.sampled_from(
    [
        "password={}",
        "PASSWORD: '{}'",
        '"api_key": "{}"',
        "db_token = {}",
        "Authorization: Bearer {}",
        "postgres://user:{}@db.example.org/x",
        "https://{}@example.org",
        "Set-Cookie: {}",
        "sk-live_{}",
        "ghp_{}zzzz",
        "eyJhbGciOi.{}.sig",
        "{}@mail.example.org",
        "-----BEGIN RSA PRIVATE KEY-----\n{}\n",
    ]
)


@given(AROUND, FORMS, SECRET, AROUND)
def test_what_looks_like_a_secret_is_masked(before: str, form: str, secret: str, after: str) -> None:
    masked = mask_secrets(f"{before} {form.format(secret)} {after}")
    assert secret not in masked
    assert mask_secrets(masked) == masked


def test_what_helps_is_left() -> None:
    kept = (
        'connect to db.example.org:5432 refused after 30.5 s\n  File "/app/a_b/mail.py", line 12, in send\n'
        "job 12345 of tenant acme failed: HTTP 503"
    )
    assert mask_secrets(kept) == kept
    assert mask_secrets("card 4111 1111 1111 1111 declined") == "card *** declined"
