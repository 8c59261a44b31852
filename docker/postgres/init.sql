-- Database, roles and tables of the sample system. Run once, by a superuser, with psql:
--   * the PostgreSQL image runs it when the volume is new,
--   * `rtrag stack up` runs it when the data folder is new.
-- Running it again changes nothing but the passwords. Give others than these by RAG_PASSWORD and DEBEZIUM_PASSWORD.

\set ON_ERROR_STOP on
\set rag_password rag_pass
\set debezium_password debezium_pass
\getenv rag_password RAG_PASSWORD
\getenv debezium_password DEBEZIUM_PASSWORD

-- rag_user owns the documents. REPLICATION is for direct change capture, without Kafka.
SELECT 'CREATE ROLE rag_user' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rag_user') \gexec
ALTER ROLE rag_user LOGIN REPLICATION PASSWORD :'rag_password';
-- debezium reads the documents and their changes, nothing else.
SELECT 'CREATE ROLE debezium' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'debezium') \gexec
ALTER ROLE debezium LOGIN REPLICATION PASSWORD :'debezium_password';

SELECT 'CREATE DATABASE rag_db OWNER rag_user' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'rag_db') \gexec
\connect rag_db
ALTER SCHEMA public OWNER TO rag_user;
SET ROLE rag_user;

-- The same as src/rtrag/adapters/postgres/schema.sql.
CREATE TABLE IF NOT EXISTS public.documents (
    id         text        PRIMARY KEY,
    title      text        NOT NULL DEFAULT '',
    content    text        NOT NULL DEFAULT '',
    metadata   jsonb       NOT NULL DEFAULT '{}'::jsonb CHECK (jsonb_typeof(metadata) = 'object'),
    version    integer     NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- An UPDATE raises the version by one, unless the statement has set it itself.
CREATE OR REPLACE FUNCTION public.documents_touch() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF NEW.version IS NOT DISTINCT FROM OLD.version THEN
        NEW.version := OLD.version + 1;
    END IF;
    IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END;
$$;

CREATE OR REPLACE TRIGGER documents_touch
    BEFORE UPDATE ON public.documents
    FOR EACH ROW EXECUTE FUNCTION public.documents_touch();

GRANT USAGE ON SCHEMA public TO debezium;
GRANT SELECT ON public.documents TO debezium;

-- Made here, because only an owner of the tables may make it; add further tables to it and grant SELECT on them.
RESET ROLE;
SELECT $$CREATE PUBLICATION debezium FOR TABLE ONLY public.documents
    WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)$$
WHERE NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'debezium') \gexec
ALTER PUBLICATION debezium OWNER TO rag_user;
