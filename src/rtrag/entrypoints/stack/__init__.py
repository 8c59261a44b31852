"""The distributed stack without Docker: PostgreSQL, Redis, Prometheus, Kafka and Kafka Connect with Debezium.

    up      packages -> artifacts -> for each part in order: prepare, start, wait until it is healthy, complete
    down    for each part in reverse order: signal, wait, force

Everything listens on 127.0.0.1 and keeps its files in one folder. The configuration files are those of compose
(``docker/``); each part's module says what it replaces in them, and why.
"""
