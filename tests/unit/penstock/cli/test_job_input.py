"""Jobs from options and files, checked before sending."""

from pathlib import Path

import pytest
import typer

from penstock.cli.job_input import checked, jobs_of_lines, read_labels, read_lines, read_payload


def test_a_line_may_leave_out_what_the_options_say() -> None:
    lines = [b'{"type": "a.b", "priority": 1}', b"", b'{"payload": [1]}']
    assert list(jobs_of_lines(lines, {"type": "c.d", "priority": 9})) == [
        {"type": "a.b", "priority": 1},
        {"type": "c.d", "priority": 9, "payload": [1]},
    ]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (b'{"type": "a", "priority": 12}', r"line 2: field `priority`.*got 12.*0 \(background\)"),
        (b'{"type": "a", "prioritty": 1}', "did you mean `priority`"),
        (b'{"type": "a", "type": "b"}', "line 2"),
        (b'{"type": "a", "payload": NaN}', "line 2"),
        (b"[]", "line 2"),
        (b"\xff", "line 2"),
    ],
)
def test_a_bad_line_is_named_with_field_value_and_remedy(line: bytes, names: str) -> None:
    with pytest.raises(typer.BadParameter, match=names):
        list(jobs_of_lines([b'{"type": "a"}', line], {}))


def test_a_job_of_the_options_is_checked_like_a_record() -> None:
    with pytest.raises(typer.BadParameter, match="field `type`"):
        checked({"type": "Not A Type"})


def test_a_payload_is_json_or_a_file_of_json(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"a": 1}')
    assert read_payload("[1, null]") == [1, None]
    assert read_payload(f"@{file}") == {"a": 1}
    with pytest.raises(typer.BadParameter, match="not JSON"):
        read_payload("{a: 1}")
    with pytest.raises(typer.BadParameter, match="cannot read"):
        read_payload(f"@{tmp_path / 'none'}")


def test_labels_are_pairs() -> None:
    assert read_labels(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        read_labels(["a"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot read"):
        read_lines(tmp_path / "none")
