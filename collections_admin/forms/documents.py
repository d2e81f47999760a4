from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from collections_admin.errors import InvalidInput
from collections_admin.forms.fields import LineField
from collections_admin.limits import MAX_EXTERNAL_ID_CHARS, MAX_META_BYTES, MAX_TEXT_CHARS, MAX_TITLE_CHARS
from collections_admin.services.documents import DocumentText, parse_meta
from collections_admin.services.validation import check_external_id

MONO = {"class": "textarea mono", "spellcheck": "false"}


class CollectionForm(forms.Form):
    """Where documents go: any table of the tenant; its collection is made when it is missing."""

    collection = forms.ChoiceField(
        label="Collection",
        error_messages={
            "invalid_choice": "This tenant has no such table.",
            "required": "Choose a collection.",
        },
    )

    def __init__(self, *args: Any, tables: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["collection"].choices = [(table, table) for table in tables]


class TextForm(forms.Form):
    """Title, text and metadata; `cleaned_data["written"]` is the checked DocumentText."""

    title = forms.CharField(
        label="Title",
        max_length=MAX_TITLE_CHARS,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    text = forms.CharField(
        label="Text",
        strip=False,
        help_text=f"Up to {MAX_TEXT_CHARS:,} characters.",
        widget=forms.Textarea(attrs={"rows": 16}),
    )
    meta = forms.CharField(
        label="Metadata",
        required=False,
        strip=False,
        help_text=f"A JSON object, up to {MAX_META_BYTES // 1000} kB; filters find its fields as meta.name.",
        widget=forms.Textarea(attrs=MONO | {"rows": 5, "placeholder": '{"lang": "en"}'}),
    )

    def clean_meta(self) -> dict[str, Any]:
        try:
            return parse_meta(self.cleaned_data["meta"])
        except InvalidInput as error:
            path = "" if error.field == "meta" else f"{error.field}: "
            raise ValidationError(f"{path}{error.message}") from error

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if {"title", "text", "meta"} <= cleaned.keys():
            try:
                parts = {name: cleaned[name] for name in ("title", "text", "meta")}
                cleaned["written"] = DocumentText.checked(**parts)
            except InvalidInput as error:
                self.add_error(error.field if error.field in self.fields else None, error.message)
        return cleaned


class PasteForm(CollectionForm, TextForm):
    field_order = ["collection", "title", "external_id", "text", "meta"]

    external_id = LineField(
        label="External id",
        required=False,
        max_length=MAX_EXTERNAL_ID_CHARS,
        help_text="The id in the system it comes from. A document that has it already is updated; "
        "left empty, one is made.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean_external_id(self) -> str:
        value = self.cleaned_data["external_id"]
        try:
            return check_external_id(value, "external_id") if value else ""
        except InvalidInput as error:
            raise ValidationError(error.message) from error


class EditForm(TextForm):
    rev = forms.IntegerField(min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput)
