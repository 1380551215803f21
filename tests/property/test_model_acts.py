"""Laws of who orders: what one may do, and that nothing but the switch is the switch."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.log import NewRecord, Record
from schemas.model_acts import (
    EWMA,
    HISTORY,
    ActError,
    Actor,
    UnchangedError,
    named,
    promoted,
    rolled_back,
    shadowed,
    switched,
    without,
)
from schemas.model_book import ModelBook
from schemas.model_fit import names_of
from schemas.models import (
    Chunk,
    ModelManifest,
    Purpose,
    Removed,
    Standing,
    chunk_record,
    manifest_record,
    removal_record,
    standing_record,
)
from schemas.topics import RouteMap
from tests.support.models_under_test import NAMES, a_manifest, a_standing

ROUTES = RouteMap()
ANN = Actor("ann", 7, "because")


class World:
    """A book with four models, of which one has other features and one no bytes any more."""

    def __init__(self, purpose: Purpose = Purpose.ORDER) -> None:
        self.purpose = purpose
        self.book = ModelBook(purpose)
        self.offset = 0
        self.manifests: list[ModelManifest] = []
        names = names_of(purpose)
        for minute, features in enumerate([names, names, names[:-1], names]):
            data = f"model {minute}".encode()
            manifest = a_manifest(data, minute, features, purpose=purpose)
            self.put(chunk_record(ROUTES, Chunk(manifest.sha256, 0, data), purpose))
            self.put(manifest_record(ROUTES, manifest))
            self.manifests.append(manifest)
        self.one, self.two, self.unfit, self.gone = [manifest.id for manifest in self.manifests]
        self.put(removal_record(ROUTES, Removed(self.manifests[3].sha256, 0), purpose))

    def put(self, record: NewRecord) -> None:
        self.book.take(Record(record.topic, 0, self.offset, 1, record.key, record.value, ()))
        self.offset += 1

    def say(self, standing: Standing) -> None:
        self.put(standing_record(ROUTES, standing, self.purpose))


def test_a_promotion_makes_the_champion_the_previous_one_and_says_who_and_why() -> None:
    world = World()
    first = promoted(world.book, world.one, ANN)
    assert first == Standing(world.one, None, None, True, 7, "ann", "because")
    world.say(msgspec.structs.replace(first, shadow=world.two))
    second = promoted(world.book, world.two, ANN)
    assert (second.champion, second.previous, second.shadow) == (world.two, world.one, None)
    world.say(second)
    nobody = promoted(world.book, EWMA, ANN)
    assert (nobody.champion, nobody.previous) == (None, world.two)


def test_what_cannot_be_promoted_is_named_with_the_remedy() -> None:
    world = World()
    with pytest.raises(ActError, match=r"no model 'moon'; known are: 2023") as said:
        promoted(world.book, "moon", ANN)
    assert world.one in str(said.value)
    with pytest.raises(ActError, match=f"do not fit this version: it lacks {NAMES[-1]}; `penstock train`"):
        promoted(world.book, world.unfit, ANN)
    with pytest.raises(ActError, match="not in the topic any more"):
        promoted(world.book, world.gone, ANN)
    world.say(a_standing(world.one))
    with pytest.raises(UnchangedError, match=r"champion already \(said by ann: a test\)"):
        promoted(world.book, world.one, ANN)
    with pytest.raises(ActError, match="`penstock train` makes one"):
        promoted(ModelBook(), "moon", ANN)


def test_a_rollback_goes_back_and_once_more_undoes_that() -> None:
    world = World()
    with pytest.raises(ActError, match="nothing to roll back to"):
        rolled_back(world.book, ANN)
    world.say(a_standing(world.one))
    with pytest.raises(ActError, match="nothing to roll back to"):
        rolled_back(world.book, ANN)
    world.say(a_standing(world.two, world.one, world.one))
    back = rolled_back(world.book, ANN)
    assert (back.champion, back.previous, back.shadow) == (world.one, world.two, None)
    world.say(back)
    assert rolled_back(world.book, ANN).champion == world.two
    world.say(a_standing(world.two, world.gone))
    with pytest.raises(ActError, match="not in the topic any more"):
        rolled_back(world.book, ANN)


def test_a_shadow_is_another_model_than_the_champion() -> None:
    world = World()
    world.say(a_standing(world.one))
    with pytest.raises(ActError, match="promote another one first"):
        shadowed(world.book, world.one, ANN)
    standing = shadowed(world.book, world.two, ANN)
    assert (standing.champion, standing.shadow) == (world.one, world.two)
    with pytest.raises(UnchangedError, match="already nobody"):
        shadowed(world.book, None, ANN)


def test_a_model_is_named_by_its_id_an_end_of_it_or_its_place() -> None:
    world = World()
    world.say(a_standing(world.one, world.two))
    for name in (world.one, world.one[-8:], world.one[:15], "champion"):
        assert named(world.book, name).id == world.one
    assert named(world.book, "previous").id == world.two
    assert named(world.book, "newest").id == world.gone
    with pytest.raises(ActError, match="no shadow model"):
        named(world.book, "shadow")
    with pytest.raises(ActError, match="write more of the id"):
        named(world.book, "2023")
    with pytest.raises(ActError, match="no model ''"):
        named(world.book, "")


@given(
    st.lists(
        st.sampled_from(["one", "two", "unfit", "gone", "none", "back", "shadow", "on", "off"]), max_size=12
    ),
    st.sampled_from(Purpose),
)
def test_only_the_switch_changes_whether_models_are_enabled(acts: list[str], purpose: Purpose) -> None:
    world = World(purpose)
    enabled, champions = True, {None, world.one, world.two}
    for act in acts:
        with contextlib.suppress(ActError):
            match act:
                case "back":
                    standing = rolled_back(world.book, ANN)
                case "shadow":
                    standing = shadowed(world.book, world.two, ANN)
                case "on" | "off":
                    standing = switched(world.book, ANN, enabled=act == "on")
                    enabled = act == "on"
                case _:
                    standing = promoted(world.book, getattr(world, act, without(purpose)), ANN)
            world.say(standing)
            assert standing.enabled is enabled
            assert standing.champion in champions
            assert standing.shadow is None or standing.shadow != standing.champion
            assert (standing.by, standing.reason, standing.at_ms) == ANN[:1] + ANN[2:] + ANN[1:2]


def test_a_switch_that_is_thrown_already_says_so() -> None:
    world = World()
    with pytest.raises(UnchangedError, match="enabled already"):
        switched(world.book, ANN, enabled=True)
    world.say(switched(world.book, ANN, enabled=False))
    with pytest.raises(UnchangedError, match=r"disabled already \(said by ann: because\)"):
        switched(world.book, ANN, enabled=False)
    assert switched(world.book, ANN, enabled=True).enabled


def test_what_is_said_of_models_that_time_retries_names_their_own_commands() -> None:
    world = World(Purpose.RETRY)
    with pytest.raises(ActError, match="`penstock train --purpose retry` makes one that does"):
        promoted(world.book, world.unfit, ANN)
    with pytest.raises(ActError, match="none; `penstock train --purpose retry` makes one"):
        promoted(ModelBook(Purpose.RETRY), "moon", ANN)
    with pytest.raises(ActError, match="`penstock models promote ID --purpose retry` takes another one"):
        rolled_back(world.book, ANN)
    world.say(a_standing(world.one))
    with pytest.raises(ActError, match="`penstock models list --purpose retry` shows"):
        named(world.book, "shadow")
    # The running mean orders jobs; here it is a name like any other.
    with pytest.raises(ActError, match="no model 'ewma'"):
        promoted(world.book, EWMA, ANN)
    assert promoted(world.book, HISTORY, ANN).champion is None
