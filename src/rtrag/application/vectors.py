"""Where vectors come from: the embedding memo, points that already stand, and only then the embedder (G5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rtrag.application.embedding_memo import EmbeddingMemo
from rtrag.domain.chunk import Chunk, ChunkingIdentity, Vector, embedding_input, fingerprint_of
from rtrag.domain.document import DocumentKey
from rtrag.domain.errors import EmbeddingUnavailableError, TerminalError, TransientError
from rtrag.domain.manifest import ChunkPoint, Manifest
from rtrag.domain.plan import Plan
from rtrag.ports.embedding import Embedder
from rtrag.ports.index import IndexReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Vectors by fingerprint, which of them were embedded just now, and the documents that cannot be embedded."""

    vectors: Mapping[str, Vector]
    embedded: frozenset[str]
    failures: Mapping[DocumentKey, str] = field(default_factory=dict)


class VectorSupply:
    """Finds or makes the vectors that plans need."""

    def __init__(
        self, *, index: IndexReader, embedder: Embedder, memo: EmbeddingMemo, identity: ChunkingIdentity
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._memo = memo
        self._identity = identity

    async def supply(self, plans: Sequence[Plan], lenders: Sequence[Manifest]) -> Supply:
        """The vectors of all added chunks; raises TransientError or ConfigurationError from the embedder."""
        needed: dict[str, str] = {}
        for plan in plans:
            needed.update(plan.fingerprints())
        vectors = self._memo.find(needed)
        if len(vectors) < len(needed):
            vectors |= await self._from_points(needed.keys() - vectors.keys(), plans, lenders)
        missing = {fingerprint: text for fingerprint, text in needed.items() if fingerprint not in vectors}
        embedded: dict[str, Vector] = {}
        failures: dict[DocumentKey, str] = {}
        if missing:
            try:
                embedded = await self._embed(missing)
            except TerminalError as error:
                embedded, failures = await self._embed_apart(plans, missing, error)
        vectors |= embedded
        self._memo.remember(vectors)
        return Supply(vectors=vectors, embedded=frozenset(embedded), failures=failures)

    async def embed_afresh(self, inputs: Mapping[str, str]) -> Mapping[str, Vector]:
        """Vectors by fingerprint straight from the embedder, for comparison."""
        return await self._embed(inputs)

    async def probe(self) -> None:
        """Embed a harmless text; raises EmbeddingUnavailableError if even that fails."""
        await self._embed({"probe": "probe"})

    async def _from_points(
        self, wanted: set[str], plans: Sequence[Plan], lenders: Sequence[Manifest]
    ) -> dict[str, Vector]:
        """Vectors of chunks that stand already: replaced ones, kept ones, those under the document's previous key."""
        standing = {chunk_id for plan in plans for chunk_id in plan.dropped}
        standing |= {plan.kept[fingerprint] for plan in plans for fingerprint in wanted & plan.kept.keys()}
        planned = {plan.manifest.key for plan in plans}
        standing |= {chunk_id for lender in lenders if lender.key not in planned for chunk_id in lender.chunk_ids}
        if not standing:
            return {}
        # Texts first, which are likely to be in memory: few chunks that an edit replaces have the vector of a new one.
        points = await self._index.chunks(tuple(standing))
        fingerprints = {point.id: self._fingerprint(point) for point in points.values()}
        fitting = {chunk_id: own for chunk_id, own in fingerprints.items() if own is not None and own in wanted}
        if not fitting:
            return {}
        points = await self._index.chunks(tuple(fitting), with_vectors=True)
        return {fitting[point.id]: point.dense for point in points.values() if point.dense is not None}

    def _fingerprint(self, point: ChunkPoint) -> str | None:
        chunk = Chunk(text=point.text, heading_path=point.heading_path, kind=point.kind)
        text = embedding_input(point.title, chunk)
        return None if text is None else fingerprint_of(text, self._identity)

    async def _embed(self, missing: Mapping[str, str]) -> dict[str, Vector]:
        try:
            vectors = await self._embedder.embed(list(missing.values()), input_type="document")
        except TransientError as error:
            raise EmbeddingUnavailableError(str(error), retry_after=error.retry_after) from error
        return dict(zip(missing, vectors, strict=True))

    async def _embed_apart(
        self, plans: Sequence[Plan], missing: Mapping[str, str], error: TerminalError
    ) -> tuple[dict[str, Vector], dict[DocumentKey, str]]:
        """Embed document by document, so that the one that cannot be embedded holds up no other."""
        if len(plans) == 1:
            return {}, {plans[0].manifest.key: str(error)}
        embedded: dict[str, Vector] = {}
        failures: dict[DocumentKey, str] = {}
        for plan in plans:
            own = {f: missing[f] for f in plan.fingerprints() if f in missing and f not in embedded}
            if not own:
                continue
            try:
                embedded |= await self._embed(own)
            except TerminalError as own_error:
                failures[plan.manifest.key] = str(own_error)
        return embedded, failures
