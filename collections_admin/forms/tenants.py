import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import slugify

from collections_admin.forms.fields import LineField
from collections_admin.models import Role, Tenant

NAME_CHARS = Tenant._meta.get_field("name").max_length  # noqa: SLF001 - Django's public name of it
SLUG_CHARS = 60
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class TenantForm(forms.Form):
    name = LineField(
        label="Name",
        max_length=NAME_CHARS,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": f"Give the tenant a name of 1 to {NAME_CHARS} characters."},
    )
    slug = LineField(
        label="Short name",
        max_length=SLUG_CHARS,
        required=False,
        help_text="a-z, 0-9 and hyphens; made from the name when left empty. No two tenants share one.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "name" in cleaned and "slug" in cleaned:
            cleaned["slug"] = self._slug(cleaned["slug"], cleaned["name"])
        return cleaned

    def _slug(self, given: str, name: str) -> str:
        slug = given or slugify(name.replace("_", "-"))[:SLUG_CHARS].strip("-")
        if not _SLUG.match(slug):
            if given:
                self.add_error("slug", "Use a-z, 0-9 and single hyphens between them.")
            else:
                self.add_error("slug", "The name has no letters a-z or digits to make one from; type one.")
        return slug


class TenantNameForm(forms.Form):
    """What a tenant's own admins may change: the short name belongs to superusers."""

    name = LineField(label="Name", max_length=NAME_CHARS)


class MemberForm(forms.Form):
    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text="An address without an account gets one, with a password that you see once.",
    )
    role = forms.ChoiceField(label="Role", choices=Role, initial=Role.VIEWER)

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].strip().lower()
        if not email.isascii():
            raise ValidationError("Addresses with letters beyond ASCII are not supported.")
        return email


class RoleForm(forms.Form):
    role = forms.ChoiceField(label="Role", choices=Role)


class TenantFilter(forms.Form):
    """GET parameters of the list."""

    q = LineField(max_length=100, required=False)
    after = forms.IntegerField(required=False, min_value=1, max_value=2**62)
