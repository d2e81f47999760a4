from django import forms
from django.contrib.auth.forms import AuthenticationForm


class SignInForm(AuthenticationForm):
    """The name to sign in with is the e-mail address, in any case."""

    username = forms.EmailField(
        label="E-mail",
        max_length=254,
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    error_messages = {
        "invalid_login": "This e-mail address and password do not belong together.",
        "inactive": "This account is deactivated.",
    }

    def clean_username(self) -> str:
        return self.cleaned_data["username"].strip().lower()
