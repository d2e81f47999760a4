import re
from pathlib import Path

import pytest
from django.core.management import call_command

from collections_admin.models import User
from dashboard.management.commands.up import _first_superuser

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_lists_each_setting_and_no_other() -> None:
    read = set(re.findall(r'environment\.\w+\("([A-Z_]+)"', (ROOT / "dashboard" / "settings.py").read_text()))
    listed = set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read
    assert listed == read


@pytest.mark.django_db
def test_a_superuser_made_by_hand_is_the_first_one() -> None:
    call_command("createsuperuser", email="Root@Example.org", interactive=False, verbosity=0)
    assert User.objects.get().email == "root@example.org"
    assert _first_superuser() == ""


@pytest.mark.django_db
def test_the_first_superuser_gets_a_password_of_its_own() -> None:
    password = _first_superuser()
    assert User.objects.get(is_superuser=True).check_password(password)
    assert _first_superuser() == ""
