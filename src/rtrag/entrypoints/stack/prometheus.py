"""Prometheus with the scrape configuration of ``docker/prometheus`` and the alerts of ``prometheus``."""

import json
import re
import shutil

import httpx

from rtrag.entrypoints.cli.errors import CommandError
from rtrag.entrypoints.stack.layout import Stack
from rtrag.entrypoints.stack.packages import require_program
from rtrag.entrypoints.stack.part import Launch, NotHealthyError, Part

_DISCOVERY = re.compile(r"^(?P<indent> +)(?:dns_sd_configs|static_configs): .*$", re.MULTILINE)
_JOB = re.compile(r"^ +- job_name: (?P<name>\S+)$", re.MULTILINE)


def prometheus_part(stack: Stack) -> Part:
    """Prometheus."""
    return Part(
        name="prometheus",
        title="Prometheus",
        ports=(stack.port("prometheus"),),
        prepare=lambda: _prepare(stack),
        check=lambda: _check(stack),
        start_seconds=30.0,
    )


def localized(text: str, stack: Stack) -> str:
    """The scrape configuration with addresses on this machine instead of compose's service names.

    Raises CommandError if a job has no line to replace.
    """
    parts = _JOB.split(text)
    result = [parts[0]]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        targets = json.dumps([{"targets": [stack.address(name)]}])
        replaced, count = _DISCOVERY.subn(rf"\g<indent>static_configs: {targets}", body)
        if count != 1:
            raise CommandError(
                f"Job {name} in docker/prometheus/prometheus.yml has {count} lines that say where to find it.",
                fix="give it one: dns_sd_configs or static_configs, on a single line.",
            )
        result.append(f"  - job_name: {name}{replaced}")
    return "".join(result)


def _prepare(stack: Stack) -> Launch:
    folder = stack.folder("prometheus")
    written = folder / "prometheus.yml"
    written.write_text(localized(stack.configuration("docker/prometheus/prometheus.yml").read_text(), stack))
    shutil.copyfile(stack.configuration("prometheus/alerts.yml"), folder / "alerts.yml")
    return Launch(
        command=(
            str(require_program("prometheus")),
            f"--config.file={written}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address={stack.address('prometheus')}",
        ),
        folder=folder,
    )


def _check(stack: Stack) -> str:
    address = f"http://{stack.address('prometheus')}"
    try:
        httpx.get(f"{address}/-/ready", timeout=3.0, trust_env=False).raise_for_status()
        answer = httpx.get(f"{address}/api/v1/targets?state=active", timeout=3.0, trust_env=False)
        targets = answer.raise_for_status().json()["data"]["activeTargets"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as exc:
        raise NotHealthyError(str(exc)) from exc
    up = sum(target["health"] == "up" for target in targets)
    return f"{up} of {len(targets)} targets up"
