import json
import time

import pytest

from core.masking import MASK, SECRETS_MAX, mask, scrub, scrub_json, secrets

CARD = b'{"card": {"number": "4111-1111", "cvc": 987.10}, "to": ["a@x.io", "b@x.io"], "n": 1.50}'


@pytest.mark.parametrize(
    ("pointers", "masked"),
    [
        ((), CARD),
        (("/nothing", "/card/nothing", "/n/deeper", "/to/2", "/to/-", "/to/00", "/to/x", "/to/٠"), None),
        (("/card/number",), b'{"card":{"number":"***","cvc":987.10},"to":["a@x.io", "b@x.io"],"n":1.50}'),
        (("/card", "/card/number"), b'{"card":"***","to":["a@x.io", "b@x.io"],"n":1.50}'),
        (("/card/number", "/card"), b'{"card":"***","to":["a@x.io", "b@x.io"],"n":1.50}'),
        (
            ("/to/1", "/n"),
            b'{"card":{"number": "4111-1111", "cvc": 987.10},"to":["a@x.io","***"],"n":"***"}',
        ),
        (("",), b'"***"'),
    ],
)
def test_what_is_pointed_at_is_masked_and_other_values_keep_their_bytes(
    pointers: tuple[str, ...], masked: bytes | None
) -> None:
    answer = mask(CARD, pointers)
    if masked is None:
        assert json.loads(answer) == json.loads(CARD)
    else:
        assert answer == masked


def test_tokens_are_unescaped_as_rfc_6901_says() -> None:
    payload = b'{"a/b": 1, "m~n": 2, "~1": 3, "": {"": 4}, "0": 5}'
    masked = json.loads(mask(payload, ("/a~1b", "/m~0n", "/~01", "//", "/0")))
    assert masked == {"a/b": MASK, "m~n": MASK, "~1": MASK, "": {"": MASK}, "0": MASK}


@pytest.mark.parametrize("payload", [b"null", b'"text"', b" 12 ", b"[]", b"{}"])
def test_a_pointer_into_a_scalar_or_nothing_changes_nothing(payload: bytes) -> None:
    assert json.loads(mask(payload, ("/a", "/0"))) == json.loads(payload)


def test_an_index_with_thousands_of_digits_points_at_nothing() -> None:
    assert mask(b"[1]", ("/" + "9" * 900,)) == b"[1]"


def test_many_deep_pointers_cost_no_more_than_one_walk() -> None:
    payload = b'{"a":' * 60 + b'"' + b"x" * 200_000 + b'"' + b"}" * 60
    pointers = tuple("/a" * 59 + f"/{n}" for n in range(100))
    started = time.perf_counter()
    assert json.loads(mask(payload, pointers)) == json.loads(payload)
    assert time.perf_counter() - started < 2.0


def test_secrets_are_the_strings_and_numbers_under_the_pointers() -> None:
    payload = b'{"a": {"k": ["s3cret", 4242, 1.5, true, null]}, "b": "open", "c": ["x", "hidden"]}'
    assert secrets(payload, ("/a", "/c/1", "/nothing")) == ("1.5", "4242", "hidden", "s3cret")
    assert secrets(payload, ()) == ()


def test_scrub_finds_secrets_as_written_and_escaped() -> None:
    secret = 'pa"ss\nwörd'
    text = f"{secret} | {json.dumps(secret)} | {json.dumps(secret, ensure_ascii=False)} | {secret!r}"
    scrubbed = scrub(text, (secret,))
    assert "ss" not in scrubbed
    assert scrubbed.count(MASK) == 4


def test_scrub_takes_the_longer_of_two_secrets_first() -> None:
    assert scrub("token-abcdef", ("token", "token-abcdef")) == MASK


def test_scrub_leaves_short_secrets_and_other_text_alone() -> None:
    assert scrub("yes, 123 and more", ("yes", "123", "")) == "yes, 123 and more"


def test_json_is_scrubbed_by_value_and_stays_json() -> None:
    raw = b'{"a":[12345,1.5,true,null,"x 12345 y"],"12345":{"b":"ok"}}'
    assert json.loads(scrub_json(raw, ["12345"])) == {
        "a": ["***", 1.5, True, None, "x *** y"],
        "***": {"b": "ok"},
    }


def test_json_without_secrets_keeps_its_bytes() -> None:
    assert scrub_json(b'{ "a" : 1.0 }', ()) == b'{ "a" : 1.0 }'


def test_a_payload_full_of_secrets_hides_everything_instead_of_stopping_the_executor() -> None:
    hidden = [f"secret-{number}" for number in range(SECRETS_MAX + 1)]
    assert scrub("a line", hidden) == "***"
    assert scrub("", hidden) == ""
    assert scrub_json(b'{"a":1}', hidden) == b'"***"'


def test_scrubbing_a_large_result_costs_one_look_per_secret_and_not_one_per_string() -> None:
    hidden = [f"secret-{number:05}" for number in range(SECRETS_MAX)]
    raw = json.dumps([f"row {number}" for number in range(7000)] + ["secret-00007"]).encode()
    began_s = time.process_time()
    scrubbed = scrub_json(raw, hidden)
    assert json.loads(scrubbed)[-2:] == ["row 6999", "***"]
    assert time.process_time() - began_s < 2.0
