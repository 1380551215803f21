"""What a start runs, and in which environment."""

from pathlib import Path

from adapters.embedded.plan import PACKAGE_ROOT, Plan, child_environment, service_command
from core.services import SERVICES


def test_every_service_of_the_list_runs_under_a_name_of_its_own() -> None:
    instances = Plan(Path("data"), {}).instances()
    assert [service for service, _ in instances] == [spec.name for spec in SERVICES]
    assert len({instance for _, instance in instances}) == len(instances)


def test_more_processes_of_a_service_get_numbered_names() -> None:
    instances = Plan(Path("data"), {}, replicas={"executor": 3}).instances()
    named = [instance for service, instance in instances if service == "executor"]
    assert named == ["executor-0", "executor-1", "executor-2"]


def test_our_modules_are_found_before_those_of_the_current_directory() -> None:
    environment = child_environment({"PYTHONPATH": "/app"})
    assert environment["PYTHONPATH"] == f"{PACKAGE_ROOT}:/app"
    assert "-P" in service_command("ingest")


def test_the_path_does_not_grow_when_a_child_starts_children() -> None:
    once = child_environment({})
    assert child_environment(once) == once
