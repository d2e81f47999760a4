"""Payload indexes: the request to the engine's schema, and the description that `get_collection` shows."""

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.config import memory
from collections_admin.edge_node.errors import invalid
from collections_admin.edge_node.filters import given

# pb.FieldType by value. PayloadSchemaType of the API counts the same kinds from one.
TYPES = ("Keyword", "Integer", "Float", "Geo", "Text", "Bool", "Datetime", "Uuid")
PLAIN_FIELDS = (
    "is_tenant",
    "on_disk",
    "enable_hnsw",
    "lookup",
    "range",
    "is_principal",
    "min_token_len",
    "max_token_len",
    "lowercase",
    "ascii_folding",
    "phrase_matching",
    "nested",
)


def _stopwords(message: pb.StopwordsSet) -> edge.StopwordsSet:
    languages = {getattr(edge.Language, name.title()) for name in message.languages}
    return edge.StopwordsSet(languages, set(message.custom))


def _stemmer(message: pb.StemmingAlgorithm) -> Any:
    if message.WhichOneof("stemming_params") == "disabled":
        return edge.DisabledStemmer()
    return edge.SnowballParams(getattr(edge.SnowballLanguage, message.snowball.language.title()))


def _text_extras(params: pb.TextIndexParams) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    try:
        if params.tokenizer:
            extras["tokenizer"] = getattr(edge.TokenizerType, pb.TokenizerType.Name(params.tokenizer))
        if params.HasField("stopwords"):
            extras["stopwords"] = _stopwords(params.stopwords)
        if params.HasField("stemmer"):
            extras["stemmer"] = _stemmer(params.stemmer)
    except (AttributeError, ValueError) as error:
        raise invalid("text index: tokenizer, or language of stopwords or stemmer, is not known") from error
    if params.HasField("scoring"):
        extras["scoring"] = True
    return extras


def _with_params(params: Any, name: str) -> Any:
    present = [f.name for f in params.DESCRIPTOR.fields if f.name in PLAIN_FIELDS]
    parts = given(params, *present) | {"memory": memory(params)}
    if name == "Keyword" and params.HasField("prefix"):
        parts["prefix"] = True
    if name == "Text":
        parts |= _text_extras(params)
    return getattr(edge, f"{name}IndexParams")(**parts)


def index_schema(request: pb.CreateFieldIndexCollection) -> tuple[Any, pb.PayloadSchemaInfo]:
    """The engine's schema for a request, and what to show of it."""
    info = pb.PayloadSchemaInfo()
    kind = request.field_index_params.WhichOneof("index_params")
    if kind:
        name = kind.split("_", maxsplit=1)[0].title()
        schema = _with_params(getattr(request.field_index_params, kind), name)
        info.params.CopyFrom(request.field_index_params)
    else:
        if not request.HasField("field_type") or request.field_type >= len(TYPES):
            raise invalid("field type of a payload index is missing or unknown")
        name = TYPES[request.field_type]
        schema = getattr(edge.PayloadSchemaType, name)
    info.data_type = pb.PayloadSchemaType.Value(name)
    return schema, info


def described_by_engine(info: Any) -> pb.PayloadSchemaInfo:
    """The little that the engine itself tells of an index."""
    name = str(info.data_type).rsplit(".", maxsplit=1)[-1]
    return pb.PayloadSchemaInfo(data_type=pb.PayloadSchemaType.Value(name))
