"""Search on Edge: a quantized scan rescored with the full vectors, and BM25, in one batch."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast
from uuid import UUID

from qdrant_edge import (
    Filter,
    QuantizationSearchParams,
    Query,
    QueryBatchRequest,
    QueryRequest,
    SearchParams,
)

from rtrag.adapters.qdrant import edge_shards
from rtrag.adapters.qdrant.edge_filters import search_filter
from rtrag.adapters.qdrant.edge_state import EdgeState
from rtrag.adapters.qdrant.lexical import Lexical
from rtrag.adapters.qdrant.search_rules import MOST_CANDIDATES, OVERSAMPLING, matches
from rtrag.domain.retrieval import Candidates, SearchRequest

REMEMBERED_NAMES: Final = 32_768


class EdgeSearch:
    """Runs search requests. ``exact`` scans the full vectors instead of the quantized ones."""

    def __init__(self, state: EdgeState, lexical: Lexical, *, exact: bool) -> None:
        self._state = state
        self._lexical = lexical
        self._names = _Names()
        self._dense_params = (
            SearchParams(exact=True)
            if exact
            else SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING))
        )

    def candidates(self, request: SearchRequest) -> Candidates:
        """Hits of both searches; engine filters may let through too much, so the rest is checked here."""
        queries = self._queries(request)
        match = search_filter(request, self._state.filter_indexes)
        found: dict[str, Mapping[str, float]] = {}
        limit = request.limit
        pending = list(queries)
        while pending:
            pages = self._run([queries[name] for name in pending], limit, match)
            for name, page in zip(tuple(pending), pages, strict=True):
                hits = self._matching(page, request)
                if len(hits) >= request.limit or len(page) < limit or limit >= MOST_CANDIDATES:
                    found[name] = dict(islice(hits.items(), request.limit))
                    pending.remove(name)
            limit *= 4
        return Candidates(dense=found.get(edge_shards.DENSE, {}), lexical=found.get(edge_shards.LEXICAL, {}))

    def _run(
        self, queries: Sequence[tuple[Query, SearchParams | None]], limit: int, match: Filter | None
    ) -> list[dict[str, float]]:
        requests = [QueryRequest(query=query, limit=limit, filter=match, params=params) for query, params in queries]
        pages = cast("list[list[Any]]", self._state.chunks.query_batch(QueryBatchRequest(requests)))
        names = self._names
        return [{names[scored.id.int]: scored.score for scored in page} for page in pages]

    def _matching(self, page: Mapping[str, float], request: SearchRequest) -> Mapping[str, float]:
        if not request.conditions and not request.hidden_below:
            return page
        points = self._state.points(page)
        floors = dict(request.hidden_below)
        return {hit: score for hit, score in page.items() if matches(points[hit], request.conditions, floors)}

    def _queries(self, request: SearchRequest) -> dict[str, tuple[Query, SearchParams | None]]:
        queries: dict[str, tuple[Query, SearchParams | None]] = {}
        if request.vector is not None:
            nearest = Query.Nearest(list(request.vector), using=edge_shards.DENSE)
            queries[edge_shards.DENSE] = (nearest, self._dense_params)
        words = self._lexical.query(request.text)
        if words is not None:
            queries[edge_shards.LEXICAL] = (Query.Nearest(words, using=edge_shards.LEXICAL), None)
        return queries


class _Names(dict[int, str]):
    """Ids as text of the chunks found lately: writing one out takes longer than all else that is done with a hit."""

    def __missing__(self, number: int) -> str:
        if len(self) >= REMEMBERED_NAMES:
            self.clear()
        name = self[number] = str(UUID(int=number))
        return name
