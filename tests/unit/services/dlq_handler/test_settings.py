import pytest
from pydantic import ValidationError

from services.dlq_handler.settings import DlqHandlerSettings


def test_lease_and_heartbeat_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_LEASE_S", "6")
    monkeypatch.setenv("PENSTOCK_HEARTBEAT_S", "0.5")
    settings = DlqHandlerSettings()
    assert (settings.lease_s, settings.heartbeat_s) == (6.0, 0.5)


def test_a_lease_shorter_than_three_heartbeats_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match="raise the lease"):
        DlqHandlerSettings(lease_s=5, heartbeat_s=2)
