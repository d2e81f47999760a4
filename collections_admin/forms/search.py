from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from collections_admin.errors import InvalidInput
from collections_admin.models import TenantCollection
from collections_admin.services.search import (
    MAX_LIMIT,
    MAX_OFFSET,
    MAX_QUERY_CHARS,
    check_threshold,
)
from collections_admin.services.validation import clean_text

DEFAULT_LIMIT = 10


class TextField(forms.CharField):
    """Text that Qdrant and the embedding model can take."""

    def clean(self, value: Any) -> str:
        try:
            return super().clean(clean_text(value, "q", MAX_QUERY_CHARS, required=False))
        except InvalidInput as error:
            raise ValidationError(error.message) from error


class SearchForm(forms.Form):
    """Parameters of the search page. `collections` are those of the tenant; the first stands for none given."""

    q = TextField(
        label="Query",
        required=False,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "maxlength": MAX_QUERY_CHARS,
                "autocomplete": "off",
                "placeholder": "What is asked, in words",
            }
        ),
    )
    table = forms.CharField(label="Collection", required=False, max_length=63, widget=forms.Select)
    limit = forms.IntegerField(
        label="Limit",
        required=False,
        min_value=1,
        max_value=MAX_LIMIT,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "size": 4}),
        error_messages={
            "invalid": f"It must be a whole number from 1 to {MAX_LIMIT}.",
            "min_value": f"It must be a whole number from 1 to {MAX_LIMIT}.",
            "max_value": f"It must be a whole number from 1 to {MAX_LIMIT}.",
        },
    )
    threshold = forms.FloatField(
        label="Score at least",
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "size": 6, "placeholder": "any"}),
        error_messages={"invalid": "It must be a number such as 0.6."},
    )
    offset = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_OFFSET,
        error_messages={"invalid": f"It must be a whole number from 0 to {MAX_OFFSET:,}."},
    )
    like = forms.UUIDField(required=False, error_messages={"invalid": "It must be the id of a chunk (a UUID)."})
    archived = forms.ChoiceField(
        required=False, choices=[("", "live"), ("live", "live"), ("all", "all"), ("archived", "archived")]
    )

    def __init__(self, data: Any, *, collections: list[TenantCollection]) -> None:
        super().__init__(data)
        self.by_table = {collection.table: collection for collection in collections}
        self.fields["table"].widget.choices = [(table, table) for table in self.by_table]

    def clean_table(self) -> TenantCollection | None:
        table = self.cleaned_data["table"]
        if not table:
            return next(iter(self.by_table.values()), None)
        if table not in self.by_table:
            raise ValidationError("This tenant has no such collection.")
        return self.by_table[table]

    def clean_limit(self) -> int:
        return self.cleaned_data["limit"] or DEFAULT_LIMIT

    def clean_offset(self) -> int:
        return self.cleaned_data["offset"] or 0

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("q") and cleaned.get("like"):
            self.add_error("q", "Search for a text or for chunks like another one, not both.")
        collection, threshold = cleaned.get("table"), cleaned.get("threshold")
        if collection is not None and threshold is not None:
            try:
                check_threshold(collection, threshold)
            except InvalidInput as error:
                self.add_error("threshold", error.message)
        return cleaned

    @property
    def problems(self) -> list[dict[str, str]]:
        """What is wrong, each with the label of its field."""
        labels = {name: field.label or name.capitalize() for name, field in self.fields.items()}
        return [
            {"label": f"{labels.get(name, 'Search')} cannot be used", "text": errors[0]}
            for name, errors in self.errors.items()
        ]
