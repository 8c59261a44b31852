# The image of both services, which `docker compose` builds. Alone it is the embedded form, in one process:
#   docker build -t rtrag . && docker run --init --rm -p 127.0.0.1:8000:8000 rtrag

FROM python:3.11.15-slim-bookworm AS base

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements/build.txt requirements/distributed.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/rtrag \
    && pip install --require-hashes -r requirements/build.txt \
    && pip --python /opt/rtrag/bin/python install --no-compile --require-hashes -r requirements/distributed.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
# Compiling what is never imported would take 60 MB; compiling nothing, seconds of each start.
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/rtrag/bin/python install --no-cache-dir --no-compile --no-deps dist/*.whl \
    && /opt/rtrag/bin/python -c "import confluent_kafka, openai, qdrant_client, redis, wordllama" \
    && /opt/rtrag/bin/python -c "import rtrag.entrypoints.cli.app, rtrag.entrypoints.cli.server"

FROM base
LABEL org.opencontainers.image.title="Real-Time RAG" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 rtrag \
    && useradd --uid 10001 --gid rtrag --home-dir /app --no-create-home --shell /usr/sbin/nologin rtrag \
    && install --directory --owner=rtrag --group=rtrag --mode=0700 /var/lib/rtrag
# Published on loopback, it is called from the user's browser too: names other than localhost are refused.
ENV PATH=/opt/rtrag/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RTRAG_DATA_FOLDER=/var/lib/rtrag \
    RTRAG_HTTP__HOST=0.0.0.0 \
    RTRAG_HTTP__ALLOWED_HOSTS='["localhost"]'
WORKDIR /app
COPY --from=build /opt/rtrag /opt/rtrag
COPY scripts scripts
COPY debezium debezium
COPY docker/rtrag.toml docker/rtrag.toml
USER 10001:10001
EXPOSE 8000 8001
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=12 \
    CMD ["python", "/app/scripts/healthcheck.py", "8000"]
ENTRYPOINT ["rtrag"]
CMD ["up"]
