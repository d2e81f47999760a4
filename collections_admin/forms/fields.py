"""Form fields that refuse what the databases or Qdrant cannot hold."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from collections_admin.errors import InvalidInput
from collections_admin.services.validation import clean_text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineField(forms.CharField):
    """One line of text, without white space around it."""

    def clean(self, value: Any) -> str:
        try:
            text = clean_text(value, "text", self.max_length or 255, required=False)
        except InvalidInput as error:
            raise ValidationError(error.message) from error
        if _CONTROL.search(text):
            raise ValidationError("It must be one line without control characters.")
        return super().clean(text)


def add_invalid(form: forms.Form, error: InvalidInput) -> None:
    """Show what a service refused beside its field, or above the form when it has no such field."""
    form.add_error(error.field if error.field in form.fields else None, error.message)
