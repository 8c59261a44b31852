"""Failures say what to do, whichever way the client reports them."""

import pytest
from grpc import StatusCode  # type: ignore[import-untyped]
from grpc.aio import AioRpcError, Metadata  # type: ignore[import-untyped]
from httpx import ConnectError, Headers, ReadTimeout
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rtrag.adapters.qdrant.server_errors import ServerErrors
from rtrag.domain.errors import ConfigurationError, NotFoundError, RtragError, ServiceUnavailableError, TerminalError

ERRORS = ServerErrors("http://qdrant:6333")


def rest(status: int, content: bytes = b'{"status":{"error":"because"}}') -> UnexpectedResponse:
    return UnexpectedResponse(status, "Reason", content, Headers())


def over_grpc(code: StatusCode) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), "because")


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (rest(400), TerminalError),
        (rest(401), ConfigurationError),
        (rest(403), ConfigurationError),
        (rest(404), ServiceUnavailableError),
        (rest(409), ServiceUnavailableError),
        (rest(413), TerminalError),
        (rest(422), TerminalError),
        (rest(429), ServiceUnavailableError),
        (rest(500), ServiceUnavailableError),
        (rest(503), ServiceUnavailableError),
        (over_grpc(StatusCode.INVALID_ARGUMENT), TerminalError),
        (over_grpc(StatusCode.UNAUTHENTICATED), ConfigurationError),
        (over_grpc(StatusCode.PERMISSION_DENIED), ConfigurationError),
        (over_grpc(StatusCode.NOT_FOUND), ServiceUnavailableError),
        (over_grpc(StatusCode.UNAVAILABLE), ServiceUnavailableError),
        (over_grpc(StatusCode.DEADLINE_EXCEEDED), ServiceUnavailableError),
        (over_grpc(StatusCode.INTERNAL), ServiceUnavailableError),
        (ResponseHandlingException(ConnectError("because")), ServiceUnavailableError),
        (ResponseHandlingException(ReadTimeout("because")), ServiceUnavailableError),
        (ValueError("because"), TerminalError),
        (TypeError("because"), TerminalError),
        (RuntimeError("because"), ServiceUnavailableError),
        (OSError("because"), ServiceUnavailableError),
    ],
    ids=repr,
)
def test_a_failure_becomes_ours_with_its_cause(raised: Exception, ours: type[RtragError]) -> None:
    with pytest.raises(ours, match="because") as caught, ERRORS.while_("search"):
        raise raised
    assert caught.value.__cause__ is raised
    assert "search" in str(caught.value)
    if ours is not TerminalError:
        assert "http://qdrant:6333" in str(caught.value)


def test_a_busy_server_says_when_to_come_back() -> None:
    with pytest.raises(ServiceUnavailableError, match="too busy") as caught, ERRORS.while_("write"):
        raise ResourceExhaustedResponse("slow down", 7)
    assert caught.value.retry_after == 7.0


def test_what_a_proxy_answers_is_quoted_as_it_is() -> None:
    with pytest.raises(ServiceUnavailableError, match=r"502.*<h1>Bad Gateway"), ERRORS.while_("search"):
        raise rest(502, b"<h1>Bad Gateway</h1>")


@pytest.mark.parametrize("raised", [NotFoundError(), KeyError("ours"), AssertionError("ours")], ids=repr)
def test_what_is_not_the_clients_passes_unchanged(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, ERRORS.while_("search"):
        raise raised
    assert caught.value is raised
