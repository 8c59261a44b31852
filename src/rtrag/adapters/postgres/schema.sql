-- The default table of documents. Running it again changes nothing.

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
