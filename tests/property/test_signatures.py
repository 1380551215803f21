"""Laws of signatures: what varies does not matter, what was given stays, and no secret is kept."""

import string

from hypothesis import given
from hypothesis import strategies as st

from core.signatures.book import Met, SignatureBook, overlaps
from core.signatures.masks import WILDCARD, words_of
from core.signatures.shape import Group, Shape, shape_of

PLAIN = ("user", "order", "not", "found", "refused", "by", "gateway", "while", "paying", "acme", "globex")
plain_words = st.lists(st.sampled_from(PLAIN), max_size=7)
numbers = st.integers(0, 10**12).map(str)
hexes = st.binary(min_size=6, max_size=20).map(bytes.hex)
quotes = st.builds(
    lambda quote, text: f"{quote}{text}{quote}",
    st.sampled_from("'\"`"),
    st.text(st.sampled_from(string.ascii_letters + string.digits + " .:-"), min_size=1, max_size=20),
)


def shape(message: str) -> Shape:
    return shape_of("transient", "ValueError", message, "")


def book_of(messages: list[str]) -> tuple[SignatureBook, list[str]]:
    book = SignatureBook()
    found = [book.learn(Met(shape(message), "email", n, n)) for n, message in enumerate(messages)]
    return book, found


@given(
    st.permutations(range(4)),
    st.lists(numbers, min_size=4, max_size=4, unique=True),
    plain_words,
    plain_words,
)
def test_variants_by_masked_forms_are_one_kind_in_any_order(
    order: list[int], drawn: list[str], before: list[str], after: list[str]
) -> None:
    messages = [" ".join((*before, drawn[number], *after)) for number in order]
    _, found = book_of(messages)
    _, other = book_of(sorted(messages))
    assert set(found) == set(other)
    assert len(set(found)) == 1


@given(st.lists(plain_words.map(" ".join), max_size=40), st.lists(plain_words.map(" ".join), max_size=20))
def test_what_was_given_stays_and_what_was_merged_is_never_split(first: list[str], later: list[str]) -> None:
    book, found = book_of(first)
    for number, message in enumerate(later, len(first)):
        book.learn(Met(shape(message), "email", number, number))
    assert [book.find(shape(message), "email") for message in first] == found


@given(st.lists(plain_words.map(" ".join), max_size=40))
def test_after_a_restart_everything_has_the_same_name(messages: list[str]) -> None:
    book, found = book_of(messages)
    again, names = book_of(messages)
    assert names == found
    assert again.kinds == book.kinds


@given(st.lists(plain_words.map(" ".join), max_size=40))
def test_only_what_taught_something_is_needed_to_know_the_same(messages: list[str]) -> None:
    book, short = SignatureBook(), SignatureBook()
    for number, message in enumerate(messages):
        met = Met(shape(message), "email", number, number)
        is_new = book.find(met.shape, "email") is None
        book.learn(met)
        if is_new:
            short.learn(met)
    assert short.kinds == book.kinds


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), max_size=60))
def test_no_message_has_two_templates_and_templates_stay_plain(texts: list[list[str]]) -> None:
    book = SignatureBook()
    for number, words in enumerate(texts):
        book.learn(Met(Shape(Group("lost", "", ""), tuple(words)), "email", number, number))
    kinds = list(book.kinds.values())
    for kind in kinds:
        plain = sum(word != WILDCARD for word in kind.words)
        assert plain >= 0.6 * len(kind.words)
        for other in kinds:
            if other is not kind and len(other.words) == len(kind.words):
                assert not overlaps(kind.words, other.words)


@given(plain_words, st.one_of(numbers, hexes, quotes), plain_words)
def test_numbers_hex_and_quoted_text_do_not_survive(before: list[str], secret: str, after: list[str]) -> None:
    words = words_of(" ".join((*before, secret, *after)))
    assert len(words) == len(before) + 1 + len(after)
    assert words[len(before)] in {"<num>", "<hex>", "<str>", "<token>"}


@given(st.text(max_size=300))
def test_no_digit_survives_in_any_text(text: str) -> None:
    words = words_of(text)
    assert not any(char.isdecimal() for word in words for char in word)
    assert WILDCARD not in words
    assert words_of(text) == words
