"""Whether anybody on the network can call an instance: it listens beyond this machine and asks for no key."""

import socket
from collections.abc import Iterable

from rtrag.config import Settings
from rtrag.entrypoints.cli.output import note, styled
from rtrag.entrypoints.http.access import is_loopback

FIX = (
    "set RTRAG_HTTP__API_KEYS (and RTRAG_HTTP__ALLOWED_HOSTS to the names it is called by), or listen on 127.0.0.1 "
    "and put a proxy that asks who is calling before it."
)


def exposure(addresses: Iterable[str], settings: Settings) -> str:
    """What is wrong with listening on these IP addresses; empty if nothing is."""
    reachable = [address for address in addresses if not is_loopback(address)]
    if settings.http.api_keys or not reachable:
        return ""
    return f"It listens on {', '.join(reachable)} without API keys: whoever reaches that can use the whole API."


def warn_of_exposure(address: str, settings: Settings) -> None:
    """Say so on the error stream, before anything is served."""
    found = exposure([address], settings)
    if found:
        note(f"{styled('Warning:', 'yellow', to_stderr=True)} {found}")
        note(f"{styled('Fix:', 'green', to_stderr=True)} {FIX}")


def addresses_of(host: str) -> tuple[str, ...]:
    """The IP addresses that listening on a host name or address means; none if the name is not known."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))


def listening_addresses(pid: int) -> tuple[str, ...]:
    """The IP addresses that a process listens on; none if that cannot be seen."""
    import psutil  # noqa: PLC0415 - only for an instance that runs

    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return ()
    return tuple(dict.fromkeys(item.laddr.ip for item in connections if item.status == psutil.CONN_LISTEN))
