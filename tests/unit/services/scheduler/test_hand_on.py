"""What was handed on lately, and may not be seen to wait in an executor yet."""

from services.scheduler.hand_on import OnTheWay


def test_what_was_handed_on_long_ago_is_not_on_its_way() -> None:
    now_s = [0.0]
    on_the_way = OnTheWay(lambda: now_s[0])
    on_the_way.add("limit/type/b", 3)
    now_s[0] = 1.0
    on_the_way.add("limit/type/b", 2)
    assert on_the_way.of("limit/type/b") == 5
    now_s[0] = 2.0
    assert on_the_way.of("limit/type/b") == 2
    assert on_the_way.of("limit/type/c") == 0
