"""How the embedded broker is started."""

from pathlib import Path

from adapters.embedded.home import Home
from adapters.embedded.kafka import JVM_OPTIONS, MORE_OPTIONS, EmbeddedKafka
from adapters.embedded.loopback import PortBook


def arguments(directory: Path, **environment: str) -> list[str]:
    return list(EmbeddedKafka(Home(directory), PortBook(None), environment).unit().argv)


def test_options_from_the_environment_stand_behind_our_own_so_they_count(tmp_path: Path) -> None:
    plain = arguments(tmp_path)
    assert plain[1 : len(JVM_OPTIONS) + 1] == list(JVM_OPTIONS)
    more = arguments(tmp_path, **{MORE_OPTIONS: " -Xmx1g  -XX:TieredStopAtLevel=4 "})
    at = len(JVM_OPTIONS) + 1
    assert more[1:at] == list(JVM_OPTIONS)
    assert more[at : at + 2] == ["-Xmx1g", "-XX:TieredStopAtLevel=4"]
    # The ports are new each time; the class path and what follows is not.
    assert more[at + 3 :] == plain[at + 1 :]
