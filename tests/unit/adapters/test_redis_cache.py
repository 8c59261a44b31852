"""Addresses of Redis that can be used, and those that are refused with what to write instead."""

import pytest

from rtrag.adapters.redis_cache import open_redis_cache
from rtrag.domain.errors import ConfigurationError

SECRET = "p4ss-w0rd"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost:6379",
        "redis://localhost:x/0",
        "redis://localhost:99999/0",
        "redis://localhost/zero",
        "redis://[::1/0",
        "unix://",
        "redis://localhost/0?db=zero",
        "redis://localhost/0?socket_timeout=60",
        "redis://localhost/0?decode_responses=true",
        "rediss://localhost/0?ssl_nonsense=1",
        f"redis://:{SECRET}@localhost:x/0",
    ],
)
async def test_what_is_no_address_of_a_redis_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with open_redis_cache(url):
            raise AssertionError(url)
    assert "redis://HOST:6379/0" in caught.value.fix
    assert SECRET not in str(caught.value)
