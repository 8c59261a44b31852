"""Search on a Qdrant server: by vector and by words, in one request."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from qdrant_client import AsyncQdrantClient
from qdrant_client.models import (
    FieldCondition,
    Filter,
    HasIdCondition,
    QuantizationSearchParams,
    QueryRequest,
    ScoredPoint,
    SearchParams,
    SparseVector,
)

from rtrag.adapters.qdrant import server_guards
from rtrag.adapters.qdrant.lexical import Lexical
from rtrag.adapters.qdrant.points import MAX_FLOAT, RECORD
from rtrag.adapters.qdrant.search_rules import EXACT_FLOAT, MOST_CANDIDATES, OVERSAMPLING, SearchRules, matches
from rtrag.adapters.qdrant.server_fields import PayloadIndexes
from rtrag.adapters.qdrant.server_points import DENSE, LEXICAL, read_chunk
from rtrag.domain.retrieval import Candidates, SearchRequest


class ServerSearch:
    """Runs search requests; with ``quantized`` vectors what they find is scored again with the full ones."""

    def __init__(
        self,
        client: AsyncQdrantClient,
        collection: str,
        indexes: PayloadIndexes,
        lexical: Lexical,
        *,
        quantized: bool,
    ) -> None:
        self._client = client
        self._collection = collection
        self._indexes = indexes
        self._lexical = lexical
        self._rules = SearchRules(_DIALECT, indexes)
        self._params = (
            SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING))
            if quantized
            else None
        )

    async def candidates(self, request: SearchRequest) -> Candidates:
        """Hits of both searches; the server's filters may let through too much, so the rest is checked here."""
        await self._indexes.look_up(condition.field for condition in request.conditions)
        queries = self._queries(request)
        found: dict[str, Mapping[str, float]] = {}
        limit = request.limit
        pending = list(queries)
        while pending:
            pages = await self._run({name: queries[name] for name in pending}, limit, request)
            for name, page in zip(tuple(pending), pages, strict=True):
                hits = _matching(page, request)
                if len(hits) >= request.limit or len(page) < limit or limit >= MOST_CANDIDATES:
                    found[name] = dict(islice(hits.items(), request.limit))
                    pending.remove(name)
            limit *= 4
        return Candidates(dense=found.get(DENSE, {}), lexical=found.get(LEXICAL, {}))

    async def _run(
        self, queries: Mapping[str, list[float] | SparseVector], limit: int, request: SearchRequest
    ) -> list[list[ScoredPoint]]:
        match = self._rules.filter(request)
        payload = [RECORD] if _is_checked(request) else False
        requests = [
            QueryRequest(
                query=query,
                using=name,
                limit=limit,
                filter=match,
                with_payload=payload,
                params=self._params if name == DENSE else None,
            )
            for name, query in queries.items()
        ]
        responses = await self._client.query_batch_points(self._collection, requests)
        return [response.points for response in responses]

    def _queries(self, request: SearchRequest) -> dict[str, list[float] | SparseVector]:
        queries: dict[str, list[float] | SparseVector] = {}
        if request.vector is not None:
            queries[DENSE] = list(request.vector)
        words = self._lexical.query(request.text)
        if words is not None:
            queries[LEXICAL] = SparseVector(indices=words.indices, values=words.values)
        return queries


def _is_checked(request: SearchRequest) -> bool:
    """Whether hits have to be looked at: a filter by tables alone is exact."""
    return bool(request.conditions or request.hidden_below)


def _matching(page: Sequence[ScoredPoint], request: SearchRequest) -> dict[str, float]:
    if not _is_checked(request):
        return {str(hit.id): hit.score for hit in page}
    floors = dict(request.hidden_below)
    return {str(hit.id): hit.score for hit in page if matches(read_chunk(hit.payload), request.conditions, floors)}


class _ServerDialect:
    """Implements ``search_rules.Dialect``."""

    one_of = staticmethod(server_guards.one_of)
    empty = staticmethod(server_guards.empty)

    def number(self, field: str, **bounds: float) -> FieldCondition:
        return server_guards.number(field, **{name: _widened(name, value) for name, value in bounds.items()})

    def nothing(self) -> HasIdCondition:
        return server_guards.NOTHING

    def all_of(self, clauses: list[Any]) -> Filter:
        return Filter(must=clauses)

    def any_of(self, clauses: list[Any]) -> Filter:
        return Filter(should=clauses)

    def none_of(self, clauses: list[Any]) -> Filter:
        return Filter(must_not=clauses)


def _widened(name: str, value: float) -> float:
    """A bound so large that an integer beside it may be the same float: the server's index compares floats, but who
    compares the integers themselves would miss one.
    """
    if abs(value) < EXACT_FLOAT:
        return value
    wider = math.nextafter(value, math.inf if name in ("lt", "lte") else -math.inf)
    return min(max(wider, -MAX_FLOAT), MAX_FLOAT)


_DIALECT: Final = _ServerDialect()
