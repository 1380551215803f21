"""The locked jars."""

import hashlib
from pathlib import Path

from adapters.embedded.jars import Jar, class_path, is_intact, local_repository, locked_jars, missing

CONTENT = b"a jar"
JAR = Jar("org.example", "thing", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def put(repository: Path, content: bytes) -> Path:
    path = JAR.path(repository)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_jar_stands_where_maven_keeps_it(tmp_path: Path) -> None:
    assert JAR.path(tmp_path) == tmp_path / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"


def test_an_absent_and_a_cut_jar_are_missing(tmp_path: Path) -> None:
    assert missing([JAR], tmp_path) == [JAR]
    put(tmp_path, CONTENT[:-1])
    assert missing([JAR], tmp_path) == [JAR]
    put(tmp_path, CONTENT)
    assert missing([JAR], tmp_path) == []


def test_a_jar_of_the_right_size_and_wrong_content_is_not_intact(tmp_path: Path) -> None:
    put(tmp_path, CONTENT[::-1])
    assert not is_intact(JAR, tmp_path)
    put(tmp_path, CONTENT)
    assert is_intact(JAR, tmp_path)


def test_the_class_path_names_every_jar(tmp_path: Path) -> None:
    assert class_path([JAR, JAR], tmp_path).split(":") == [str(JAR.path(tmp_path))] * 2


def test_the_cache_can_be_moved_by_the_variable_that_maven_tools_share(tmp_path: Path) -> None:
    assert local_repository({"M2_REPO": str(tmp_path)}) == tmp_path
    assert local_repository({"HOME": "/home/a"}) == Path("/home/a/.m2/repository")


def test_the_lock_holds_one_version_of_everything_the_broker_needs() -> None:
    jars = locked_jars()
    names = [(jar.group, jar.artifact) for jar in jars]
    assert len(set(names)) == len(names)
    versions = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert len(versions) == 1
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl"} <= {jar.artifact for jar in jars}
