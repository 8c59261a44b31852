"""Whether a service on this machine lives: exit code 0 if its /health answers 200. The images have no curl.

python scripts/healthcheck.py [port]    # 8000 by default
"""

import http.client
import sys

SECONDS = 4.0


def is_alive(port: int) -> bool:
    """Ask it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(sys.argv[1]) if len(sys.argv) > 1 else 8000) else 1)
