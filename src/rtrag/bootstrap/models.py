"""The embedder and the generator that are configured."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, assert_never

from rtrag.adapters.extractive_generator import ExtractiveGenerator
from rtrag.adapters.static_embedder import StaticEmbedder
from rtrag.config import Settings
from rtrag.config import models as configured
from rtrag.domain.errors import TerminalError, TransientError
from rtrag.ports.embedding import Embedder
from rtrag.ports.generation import Generator

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PROBE_SECONDS = 5.0


async def open_embedder(stack: AsyncExitStack, settings: Settings) -> Embedder:
    """The embedder; the stack closes what it holds open. Raises ConfigurationError, also for a key that is refused."""
    match settings.embedder:
        case configured.StaticEmbedder():
            return StaticEmbedder()
        case configured.OpenAIEmbedder() as chosen:
            from rtrag.adapters.openai.embedder import OpenAIEmbedder  # noqa: PLC0415 - a second of imports

            client = await _client(stack, settings, chosen.base_url, chosen.timeout_seconds)
            embedder = OpenAIEmbedder(client, model=chosen.model, dimensions=chosen.dimensions)
            await _probe(embedder)
            return embedder
        case _ as unreachable:
            assert_never(unreachable)


async def open_generator(stack: AsyncExitStack, settings: Settings, embedder: Embedder) -> Generator:
    """The generator; the extractive one compares sentences by ``embedder`` where that costs no request."""
    match settings.generator:
        case configured.ExtractiveGenerator():
            # A remote embedder would cost a request for every question: then words alone decide.
            return ExtractiveGenerator(embedder if isinstance(embedder, StaticEmbedder) else None)
        case configured.OpenAIGenerator() as chosen:
            from rtrag.adapters.openai.generator import OpenAIGenerator  # noqa: PLC0415 - a second of imports

            client = await _client(stack, settings, chosen.base_url, chosen.timeout_seconds)
            return OpenAIGenerator(
                client,
                model=chosen.model,
                temperature=chosen.temperature,
                max_output_tokens=chosen.max_output_tokens,
            )
        case _ as unreachable:
            assert_never(unreachable)


async def _probe(embedder: Embedder) -> None:
    """Find a wrong key, model or length of vectors while somebody looks on. Raises ConfigurationError.

    An embedder that is away does not keep an instance from starting: its changes wait for it.
    """
    with contextlib.suppress(TransientError, TerminalError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            await embedder.embed(["Is anybody there?"], input_type="query")


async def _client(stack: AsyncExitStack, settings: Settings, base_url: str | None, seconds: float) -> "AsyncOpenAI":
    from openai import AsyncOpenAI  # noqa: PLC0415 - a second of imports

    key = settings.openai_api_key
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else "none", base_url=base_url, timeout=seconds, max_retries=0
    )
    return await stack.enter_async_context(client)
