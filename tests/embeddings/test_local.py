import asyncio
import math
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from collections_admin.embeddings import DEFAULT_MODEL, available_models, get_model
from collections_admin.embeddings.local import LocalModel, TokenVectors, _sub_batches
from collections_admin.errors import EmbeddingUnavailable, InvalidInput
from collections_admin.limits import MAX_CHUNK_CHARS, MAX_QUERY_CHARS

TEXTS = ["How do I open a file?", "Reading and writing files", "The cat sat on the mat", "日本語 🙂 \x01"]


@pytest.mark.parametrize(("name", "dimension"), [("wordllama-256", 256), ("wordllama-128", 128)])
async def test_vectors_have_the_stated_dimension_and_length_one(name, dimension):
    model = get_model(name)
    vectors = await model.embed(TEXTS)
    assert model.info.dimension == dimension
    assert [len(vector) for vector in vectors] == [dimension] * len(TEXTS)
    assert all(type(number) is float for number in vectors[0])
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in vectors)


def test_the_default_is_among_the_models_offered():
    assert DEFAULT_MODEL in [info.name for info in available_models()]


@pytest.mark.parametrize("name", ["", "wordllama-7", "x" * 5000, "\x00"])
def test_an_unknown_model_is_named_with_the_known_ones(name):
    with pytest.raises(InvalidInput, match="wordllama-256") as caught:
        get_model(name)
    assert caught.value.field == "embedding_model"


async def test_a_text_is_nearest_to_what_means_the_same():
    query = np.array(await get_model(DEFAULT_MODEL).embed_query("open a document for reading"))
    scores = np.array(await get_model(DEFAULT_MODEL).embed(TEXTS[:3])) @ query
    assert scores[0] > scores[2]
    assert scores[1] > scores[2]


async def test_a_query_and_a_document_of_the_same_text_have_the_same_vector():
    model = get_model(DEFAULT_MODEL)
    assert await model.embed_query(TEXTS[0]) == pytest.approx((await model.embed(TEXTS))[0], abs=1e-6)


async def test_vectors_are_those_of_the_wordllama_package():
    """In a process of its own: importing the package configures the root logger."""
    script = (
        "import json, pathlib, sys, wordllama\n"
        "model = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)\n"
        "print(json.dumps(model.embed(json.loads(sys.stdin.read()), norm=True, return_np=False)))"
    )
    import json

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate(json.dumps(TEXTS).encode())
    expected = np.array(json.loads(output))
    assert np.allclose(await get_model("wordllama-256").embed(TEXTS), expected, atol=1e-5)
    short = expected[:, :128] / np.linalg.norm(expected[:, :128], axis=1, keepdims=True)
    assert np.allclose(await get_model("wordllama-128").embed(TEXTS), short, atol=1e-5)


async def test_loading_and_embedding_open_no_connection(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the local model must not use the network")

    model = LocalModel(256, token_vectors=TokenVectors())
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(await model.embed_query("hello")) == 256


def test_loading_imports_no_http_client_and_leaves_the_root_logger_alone():
    script = (
        "import logging, sys\n"
        "from collections_admin.embeddings.local import TokenVectors\n"
        "TokenVectors().load()\n"
        "assert not logging.getLogger().handlers\n"
        "assert not {'requests', 'httpx', 'django', 'wordllama'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


async def test_many_first_calls_load_the_model_once(monkeypatch):
    from collections_admin.embeddings import local

    loads = []
    read = local._read_model
    monkeypatch.setattr(local, "_read_model", lambda folder: loads.append(threading.get_ident()) or read(folder))
    model = LocalModel(256, token_vectors=TokenVectors())
    await asyncio.gather(*(model.embed_query(f"text {number}") for number in range(20)))
    assert len(loads) == 1
    assert loads[0] != threading.get_ident()


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u3000", "x" * (MAX_CHUNK_CHARS + 1), "half \ud800"],
    ids=["empty", "blank", "wide space", "long", "surrogate"],
)
async def test_a_text_without_a_vector_is_refused_by_its_place(text):
    with pytest.raises(InvalidInput) as caught:
        await get_model(DEFAULT_MODEL).embed(["fine", text])
    assert caught.value.field == "texts[1]"


@pytest.mark.parametrize("text", ["", "   ", "x" * (MAX_QUERY_CHARS + 1), "\udfff"])
async def test_a_query_without_a_vector_is_refused(text):
    with pytest.raises(InvalidInput) as caught:
        await get_model(DEFAULT_MODEL).embed_query(text)
    assert caught.value.field == "query"


@pytest.mark.parametrize("text", ["\x00", ".", "🙂" * MAX_CHUNK_CHARS, "a" + " " * 30_000 + "b"])
async def test_strange_texts_have_finite_vectors(text):
    (vector,) = await get_model(DEFAULT_MODEL).embed([text])
    assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-5)


async def test_a_vector_without_direction_is_never_handed_out(monkeypatch):
    token_vectors = TokenVectors()
    monkeypatch.setattr(token_vectors, "means", lambda texts: np.zeros((len(texts), 256), np.float32))
    with pytest.raises(EmbeddingUnavailable):
        await LocalModel(256, token_vectors=token_vectors).embed(["x"])


async def test_no_texts_have_no_vectors():
    assert await get_model(DEFAULT_MODEL).embed([]) == []


def test_batches_keep_order_and_stay_small():
    texts = [str(number) * (number * 40) for number in range(1, 400)]
    batches = list(_sub_batches(texts))
    assert [text for batch in batches for text in batch] == texts
    assert all(len(batch) == 1 or sum(map(len, batch)) <= 64_000 for batch in batches)
    assert all(len(batch) <= 64 for batch in batches)


async def test_the_event_loop_goes_on_while_a_batch_is_embedded():
    model = get_model(DEFAULT_MODEL)
    turns = 0
    embedding = asyncio.create_task(model.embed(["some words of text " * 60] * 500))
    while not embedding.done():
        turns += 1
        await asyncio.sleep(0)
    assert len(await embedding) == 500
    assert turns > 20
