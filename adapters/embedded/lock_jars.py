"""Renews the list of jars from Maven's metadata: ``python -m adapters.embedded.lock_jars``.

Run by a person who raises the version of Kafka; the new list is reviewed like any other change.
"""

import hashlib
import sys

import jgo
import msgspec

from adapters.embedded.jars import LOCK_FILE, Jar

KAFKA = "org.apache.kafka:kafka_2.13:4.3.0"
LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
"""Kafka logs through slf4j 1.7 and brings no binding; the version is that of Kafka's log4j-core.
Resolved apart: in one request its managed versions pull Kafka's own client library back to 3.9."""


def resolve() -> tuple[Jar, ...]:
    """Resolve and download both coordinates; give them with their sizes and hashes."""
    artifacts = [*jgo.resolve(KAFKA), jgo.resolve(LOG_BINDING)[0]]
    jars = []
    for artifact in artifacts:
        content = artifact.resolve().read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        jars.append(Jar(artifact.groupId, artifact.artifactId, artifact.version, len(content), digest))
    return tuple(sorted(jars, key=lambda jar: (jar.group, jar.artifact)))


def main() -> int:
    """Write the list."""
    jars = resolve()
    LOCK_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(jars)) + b"\n")
    sys.stdout.write(f"{len(jars)} jars locked in {LOCK_FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
