"""The request to leave a group by name: aiokafka 0.14 knows only versions that know no names."""

from typing import ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String
from typing_extensions import override

_API_KEY = 13


class _LeaveGroupResponse(Response):
    API_KEY = _API_KEY
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(
                ("member_id", String("utf-8")),
                ("group_instance_id", String("utf-8")),
                ("error_code", Int16),
            ),
        ),
    )


class _LeaveGroupRequest(RequestStruct):
    API_KEY = _API_KEY
    API_VERSION = 3
    RESPONSE_TYPE: ClassVar[type[Response]] = _LeaveGroupResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class LeaveByName(Request[_LeaveGroupRequest]):
    """LeaveGroup version 3 (KIP-345), for one static member.

    Parameters
    ----------
    member_id
        Empty while its first join is under way, when it does not know it yet. Otherwise a newer process
        of the same name is safe: the broker refuses an id that is not the name's latest.
    """

    API_KEY = _API_KEY

    def __init__(self, group: str, member_id: str, instance: str) -> None:
        self._group = group
        self._member_id = member_id
        self._instance = instance

    @override
    def build(self, request_struct_class: type[_LeaveGroupRequest]) -> _LeaveGroupRequest:
        """Give the request as it travels."""
        return request_struct_class(self._group, [(self._member_id, self._instance)])
