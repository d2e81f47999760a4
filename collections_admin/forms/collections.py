from dataclasses import dataclass
from typing import Any, ClassVar, Self

from django import forms
from django.http import QueryDict

from collections_admin.embeddings import DEFAULT_MODEL, available_models
from collections_admin.errors import InvalidInput
from collections_admin.forms.fields import LineField
from collections_admin.limits import CHUNK_OVERLAP, CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_TABLE_NAME_CHARS, MIN_CHUNK_SIZE
from collections_admin.models import Distance, Quantization
from collections_admin.services.collection_overview import CollectionRow
from collections_admin.services.collection_settings import (
    MAX_EF_CONSTRUCT,
    MAX_HNSW_M,
    MIN_EF_CONSTRUCT,
    MIN_HNSW_M,
    CollectionSettings,
    LiveSettings,
)
from collections_admin.services.validation import clean_text


def _number(label: str, least: int, most: int, *, initial: int, help_text: str = "") -> forms.IntegerField:
    words = f"It must be a whole number from {least:,} to {most:,}."
    return forms.IntegerField(
        label=label,
        min_value=least,
        max_value=most,
        initial=initial,
        help_text=help_text,
        error_messages=dict.fromkeys(("required", "invalid", "min_value", "max_value"), words),
    )


class LiveSettingsForm(forms.Form):
    """The settings that can change under a filled collection."""

    settings_type: ClassVar[type[LiveSettings]] = LiveSettings

    chunk_size = _number(
        "Chunk size", MIN_CHUNK_SIZE, MAX_CHUNK_SIZE, initial=CHUNK_SIZE, help_text="Tokens, from the next ingest on."
    )
    chunk_overlap = _number(
        "Overlap", 0, MAX_CHUNK_SIZE // 2, initial=CHUNK_OVERLAP, help_text="Tokens shared by neighbours."
    )
    hnsw_m = _number("HNSW m", MIN_HNSW_M, MAX_HNSW_M, initial=16, help_text="Links of a point in the index.")
    hnsw_ef_construct = _number(
        "ef_construct", MIN_EF_CONSTRUCT, MAX_EF_CONSTRUCT, initial=100, help_text="Candidates while it is built."
    )
    quantization = forms.ChoiceField(
        label="Quantisation", choices=Quantization, initial=Quantization.NONE, help_text="Smaller vectors in memory."
    )
    on_disk = forms.BooleanField(label="Vectors on disk: less memory, slower searches", required=False)
    strict_mode = forms.BooleanField(
        label="Strict mode: Qdrant refuses very large requests", required=False, initial=True
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors:
            names = self.settings_type.__dataclass_fields__
            try:
                self.settings = self.settings_type(**{name: cleaned[name] for name in names})
            except InvalidInput as error:
                self.add_error(error.field, error.message)
        return cleaned


class CollectionForm(LiveSettingsForm):
    """A new collection for one of `tables`."""

    settings_type: ClassVar[type[LiveSettings]] = CollectionSettings
    field_order = ("table", "embedding_model", "distance")

    table = forms.ChoiceField(label="Table", error_messages={"required": "Choose a table."})
    embedding_model = forms.ChoiceField(
        label="Embedding model", initial=DEFAULT_MODEL, help_text="The size of its vectors is fixed from then on."
    )
    distance = forms.ChoiceField(label="Distance", choices=Distance, initial=Distance.COSINE)

    def __init__(self, *args: Any, tables: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["table"].choices = [("", "Choose…"), *((table, table) for table in tables)]
        self.fields["table"].error_messages["invalid_choice"] = "Choose a table of this tenant without a collection."
        self.fields["embedding_model"].choices = [(model.name, model.label) for model in available_models()]


class TableForm(forms.Form):
    name = LineField(
        label="Table name",
        max_length=MAX_TABLE_NAME_CHARS,
        help_text="a-z, 0-9 and _, beginning with a letter. It becomes part of the collection's name and stays.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


SORTS = ("table", "documents", "failed", "model", "ingest")
SHOWN = ("all", "missing", "protected", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionFilter:
    """The state of the list as its URL holds it: `?q=…&show=…&sort=-documents`."""

    q: str = ""
    show: str = "all"
    sort: str = "table"

    @classmethod
    def parse(cls, query: QueryDict) -> Self:
        """Raises InvalidInput naming the parameter."""
        show, sort = query.get("show", "all"), query.get("sort", "table")
        if show not in SHOWN:
            raise InvalidInput("show", f"show must be one of {', '.join(SHOWN)}.")
        if sort.removeprefix("-") not in SORTS:
            raise InvalidInput("sort", f"sort must be one of {', '.join(SORTS)}, with a - in front to turn it round.")
        return cls(q=clean_text(query.get("q", ""), "q", 100, required=False), show=show, sort=sort)

    def apply(self, rows: list[CollectionRow]) -> list[CollectionRow]:
        text = self.q.casefold()
        found = [row for row in rows if text in row.table and self._shows(row)]
        return sorted(found, key=_KEYS[self.sort.removeprefix("-")], reverse=self.sort.startswith("-"))

    def _shows(self, row: CollectionRow) -> bool:
        match self.show:
            case "missing":
                return row.status == "missing"
            case "protected":
                return row.is_protected
            case "failed":
                return row.failed > 0
        return True


_KEYS: dict[str, Any] = {
    "table": lambda row: row.table,
    "documents": lambda row: (row.documents, row.table),
    "failed": lambda row: (row.failed, row.table),
    "model": lambda row: (row.embedding_model, row.table),
    "ingest": lambda row: (row.last_ingest_at.timestamp() if row.last_ingest_at else 0, row.table),
}
