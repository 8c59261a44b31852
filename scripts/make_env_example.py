"""Write ``.env.example`` from the settings' own definitions: ``python scripts/make_env_example.py [--check]``."""

import argparse
import sys
from pathlib import Path

from rtrag.config import Setting, settings_catalogue

TARGET = Path(__file__).parent.parent / ".env.example"
HEADER = """\
# Every setting by its name in the environment, with its default. All are optional.
# The same names in rtrag.toml: RTRAG_QUERY__DENSE_WEIGHT is dense_weight in the section [query].
# The environment wins over the file, the command line over both.
# Made by scripts/make_env_example.py; change the definitions in src/rtrag/config, not this file.
"""
COMPOSE = """
# Read by docker compose alone, from .env; what begins with RTRAG_ reaches both services.

# passwords of rag_user and debezium in PostgreSQL, set when its volume is new
# RAG_PASSWORD=rag_pass
# DEBEZIUM_PASSWORD=debezium_pass
# password of admin in Grafana
# GRAFANA_PASSWORD=admin
# address at which ports are published; beyond this machine set RTRAG_HTTP__API_KEYS as well
# BIND_ADDRESS=127.0.0.1
# ports of the two services; a range, such as 8010-8013, for several replicas
# UPDATE_SERVICE_PORT=8002
# QUERY_SERVICE_PORT=8003
"""


def render() -> str:
    """The whole file."""
    parts = [HEADER]
    section = None
    for setting in settings_catalogue():
        head = setting.path.split(".")[0] if "." in setting.path else ""
        if head != section:
            section = head
            parts.append("")
        parts.append(_entry(setting))
    return "\n".join(parts) + "\n" + COMPOSE


def _entry(setting: Setting) -> str:
    only = f" (kind {setting.kind})" if setting.kind else ""
    return f"# {setting.description}{only}\n# {setting.env_name}={_shown(setting.default)}"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "[]"
    return str(value)


def main() -> int:
    """Write the file, or with ``--check`` only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the file is not up to date")
    arguments = parser.parse_args()
    text = render()
    if arguments.check:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.name} is not up to date; run python scripts/make_env_example.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
