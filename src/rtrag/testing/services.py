"""A running instance in memory, for tests of the entry points: no database, no index, no waiting.

It keeps the contracts of ``rtrag.application.services``: versions count up, writes return tokens that rise, a token
that is not reached yet times out, a document with an open letter refuses its token.
"""

from rtrag.application.services import Collection, Services
from rtrag.domain.mapping import TableMapping
from rtrag.testing.answers import FakeAnswers
from rtrag.testing.documents import FakeDocuments
from rtrag.testing.letters import FakeLetters
from rtrag.testing.operations import FakeOperations
from rtrag.testing.state import FakeState


def fake_services(state: FakeState | None = None) -> Services:
    """An instance with a writable collection ``documents`` and a read-only one ``archive``."""
    shared = state or FakeState()
    collections = {
        "documents": Collection(
            name="documents", tables=(TableMapping(table="public.documents", key_columns=("id",), writable=True),)
        ),
        "archive": Collection(name="archive", tables=(TableMapping(table="public.archive", key_columns=("id",)),)),
    }
    return Services(
        collections=collections,
        answers=FakeAnswers(shared, collections),
        documents=FakeDocuments(shared, collections),
        letters=FakeLetters(shared),
        operations=FakeOperations(shared),
        postgres_url="postgresql:///fake",
    )
