from core.signatures.book import GROUP_MAX, TASK_MAX, Met, SignatureBook
from core.signatures.shape import Group, Shape, shape_of


def shape(message: str, error_type: str = "ValueError") -> Shape:
    return shape_of("transient", error_type, message, "")


def learned(*messages: str, task_type: str = "email") -> tuple[SignatureBook, list[str]]:
    book = SignatureBook()
    found = [
        book.learn(Met(shape(message), task_type, 1000 + number, number))
        for number, message in enumerate(messages)
    ]
    return book, found


def test_similar_messages_are_one_kind_named_by_the_first() -> None:
    book, found = learned("tenant acme has no such order", "tenant globex has no such order")
    (kind,) = book.kinds.values()
    assert found == [kind.id, kind.id]
    assert kind.template == "tenant <*> has no such order"
    assert (kind.begun, kind.changed, kind.first_ms, kind.task_type) == (0, 1, 1000, "email")
    alone, (name,) = learned("tenant acme has no such order")
    assert name == kind.id
    assert len(name) == 16
    assert alone.find(shape("tenant globex has no such order"), "email") is None


def test_short_messages_that_differ_in_half_of_their_words_are_two_kinds() -> None:
    _, found = learned("connection refused", "connection reset", "boom", "bang", "")
    assert len(set(found)) == 5


def test_class_type_and_place_tell_failures_apart() -> None:
    book = SignatureBook()
    groups = [
        Group(*one)
        for one in (("lost", "A", "f"), ("timeout", "A", "f"), ("lost", "B", "f"), ("lost", "A", "g"))
    ]
    found = {book.learn(Met(Shape(group, ("no", "answer")), "t", 0, n)) for n, group in enumerate(groups)}
    assert len(found) == 4


def test_a_template_does_not_grow_into_another() -> None:
    book, (first, second, third) = learned("a b c d e", "a b x y z", "a b c y z")
    assert second == third != first
    assert [kind.template for kind in book.kinds.values()] == ["a b c d e", "a b <*> y z"]
    # Four of five words are those of the first, and "a b c d <*>" meets no message of the second.
    assert book.learn(Met(shape("a b c d z"), "email", 0, 9)) == first
    # Three of five are those of either; "a b c <*> <*>" and "a b <*> <*> z" would meet each other.
    fourth = book.learn(Met(shape("a b c q z"), "email", 0, 10))
    assert fourth not in {first, second}


def test_what_has_no_room_is_one_kind_of_its_place() -> None:
    # Of as many words each, and all of them different: nothing is similar.
    texts = [f"{chr(97 + n // 26) * 3}x{chr(97 + n % 26) * 3}" for n in range(GROUP_MAX + 10)]
    book, found = learned(*texts)
    assert len(set(found[:GROUP_MAX])) == GROUP_MAX
    (rest,) = set(found[GROUP_MAX:])
    assert book.kinds[rest].template == "<*>"
    assert book.kinds[rest].group == shape("x").group
    assert book.find(shape("yet another"), "email") == rest
    assert book.find(shape(texts[0]), "email") == found[0]


def test_a_type_whose_failures_are_all_different_leaves_room_for_others() -> None:
    book = SignatureBook()
    names = [f"{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(TASK_MAX + 5)]
    found = [book.learn(Met(shape("no", f"E{name}"), "noisy", 0, n)) for n, name in enumerate(names)]
    assert len(set(found)) == TASK_MAX + 1
    assert book.kinds[found[-1]].group == Group("transient", "", "")
    other = book.learn(Met(shape("no", "Other"), "quiet", 0, 1000))
    assert book.kinds[other].group.error_type == "Other"
    assert [kind.id for kind in book.changed_since(1000)] == [other]
