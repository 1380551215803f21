import time

import pytest

from core.signatures.masks import MORE, TEXT_MAX_CHARS, TOKEN, WORDS_MAX, words_of


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("Connection to 10.2.3.4:5432 refused after 12ms", "Connection to <ip> refused after <num>"),
        ("user42 of 1,234.5 at -3e8", "user<num> of <num> at <num>"),
        ("can't open the users' file '/tmp/x y'", "can't open the users' file <str>"),
        ('b\'abc\' is not "x \\" y"', "<str> is not <str>"),
        ("GET https://api.example.com/v1/x?id=3, gave 503", "GET <url>, gave <num>"),
        ("mail to ann.b+c@example.co.uk bounced", "mail to <email> bounced"),
        ("job 3f2504e0-4f89-11d3-9a0c-0305e82c3301 at 2026-11-27T11:00:00.5Z", "job <uuid> at <time>"),
        ("Expires: Fri, 27 Nov 2026 11:00:00 GMT", "Expires: <time>"),
        ("at 0xdeadbeef, commit a1b2c3d, sum deadbeefcafe", "at <hex>, commit <hex>, sum <hex>"),
        ("ids [1, 2, 3, 4] and [5]", "ids [<num>] and [<num>]"),
        ("::1 and fe80::1:2 are down", "<ip> and <ip> are down"),
        ("open /var/lib/x/a.parquet: no such file", "open <path>: no such file"),
        ("reading and/or writing s3 bucket a/b/c/d", "reading and/or writing s<num> bucket <path>"),
        ("no such file: C:\\Users\\ann\\x.txt", "no such file: <path>"),
        ("password=hunter2, api_key: abc", "password=<secret>, api_key: <secret>"),
        ("Authorization: Bearer abcdefghijklmnopqrst", "Authorization: <secret>"),
        ("key sk_live_abcdefgh is refused", "key <secret> is refused"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.abc", "got <token>"),
        ("got QWxhZGRpbjpvcGVuIHNlcFtZQab", "got <token>"),
        ("got x9k2m1qq7", "got <token>"),
        ("ConnectionRefusedErrorException in my_module.some_long_function", None),
        ("The connection was refused by the other side", None),
        ("a template like <*> is no wildcard", "a template like <str> is no wildcard"),
        ("first line\n  second line\x00\x1b[0m", "first line second line [<num>"),
        ("", ""),
    ],
)
def test_what_varies_is_masked_by_its_form(message: str, template: str | None) -> None:
    assert " ".join(words_of(message)) == (message if template is None else template)


@pytest.mark.parametrize("quote", ['"', "'", "`", "“", "«"])
def test_a_quote_that_was_cut_off_is_masked_to_its_end(quote: str) -> None:
    assert words_of(f"no such key {quote}hunter and more of i") == ("no", "such", "key", "<str>")


def test_a_long_message_is_cut_at_a_word() -> None:
    assert words_of("word " * 400) == ("word",) * WORDS_MAX + (MORE,)
    assert words_of("é" * (TEXT_MAX_CHARS + 1)) == ()
    assert words_of("é" * 200) == (TOKEN,)


@pytest.mark.parametrize(
    "unit", ["a", "a.", "a-", "'a", '"\\', "1:", "/a", "a@", "<num> ", "-", "=", "a1", "\\"]
)
def test_no_message_takes_long(unit: str) -> None:
    begun_s = time.process_time()
    words_of(unit * TEXT_MAX_CHARS)
    assert time.process_time() - begun_s < 0.2
