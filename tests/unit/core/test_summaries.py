"""Summaries by the words of errors: what is picked."""

from core.summaries import Facts, accepted, extractive

TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/mail/send.py", line 41, in send
    client.post(message)
  File "/venv/lib/python3.12/site-packages/smtp/client.py", line 9, in post
    raise SmtpError("refused")
smtp.SmtpError: refused
"""
FACTS = Facts(
    "group",
    ("email.send",),
    "transient",
    "SmtpError",
    "connection to <str> refused",
    location="send.py:send",
    traceback=TRACEBACK,
    log_tail=("sending to 3 addresses", "mail server said: mailbox unavailable", "closing"),
)


def test_a_group_is_its_error_its_place_and_the_most_telling_line() -> None:
    assert extractive(FACTS) == (
        "email.send: SmtpError (transient): connection to <str> refused",
        "Raised at app/mail/send.py:41 in send",
        "Logged before: mail server said: mailbox unavailable",
    )


def test_with_little_known_there_is_still_a_line() -> None:
    assert extractive(Facts("job", (), "", "", "")) == ("a job: an unknown error",)
    assert extractive(FACTS._replace(traceback="", log_tail=()))[1:] == ("Raised at send.py:send",)


def test_a_job_whose_attempts_failed_differently_says_so() -> None:
    facts = FACTS._replace(about="job", errors=("SmtpError", "TimeoutError", "SmtpError"))
    assert extractive(facts)[1] == "3 attempts, not all alike: 2 x SmtpError, 1 x TimeoutError"
    assert len(extractive(facts)) == 3


def test_answers_are_taken_as_lines_and_refused_as_essays() -> None:
    assert accepted("  One.\n\n Two. ") == ("One.", "Two.")
    for answer in ("", "a\nb\nc\nd", "x" * 201, "see http://x.example", "```sh\nrm\n```", 7, None):
        assert accepted(answer) is None
