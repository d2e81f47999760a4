"""The frame around every page, with and without a signed-in person."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.template.loader import render_to_string

from collections_admin.types import TenantChoice

TEMPLATES = Path(settings.BASE_DIR) / "templates"
STATIC = Path(settings.BASE_DIR) / "static"


def frame(**changes):
    user = SimpleNamespace(email="ops@northwind.example", is_superuser=False)
    northwind = TenantChoice(id=7, name="Northwind", role="operator")
    usual = {"tenant": northwind, "tenants": [northwind], "role": "operator", "active": "jobs", "version": "1.0"}
    return SimpleNamespace(**{"health": None, "user": user} | usual | changes)


def base(**context):
    return render_to_string("base.html", context)


def test_the_frame_stands_without_anybody_signed_in():
    shown = base()
    assert '<main class="page" id="main"' in shown
    assert 'id="nav"' not in shown


def test_the_current_place_is_marked():
    shown = base(shell=frame())
    assert re.search(r'<a class="nav-link" href="[^"]*/jobs/" aria-current="page">', shown)
    assert shown.count('aria-current="page"') == 1


def test_only_superusers_see_the_list_of_tenants():
    boss = SimpleNamespace(email="root@example.org", is_superuser=True)
    assert '/tenants/"' not in base(shell=frame())
    assert '/tenants/"' in base(shell=frame(user=boss))


def test_outside_a_tenant_nothing_links_into_one():
    shown = base(shell=frame(tenant=None, role="", tenants=()))
    assert "nav-data" not in shown
    assert "Retrieval console" in shown


def test_names_of_tenants_stay_text():
    shown = base(shell=frame(tenant=SimpleNamespace(id=7, name="<script>x</script>")))
    assert "<script>x" not in shown


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_templates_hold_nothing_inline(template):
    source = template.read_text()
    assert not re.search(r"\sstyle=", source)
    assert not re.search(r"\son[a-z]+=\"", source)
    assert not re.search(r"<style|javascript:|hx-on|hx-vars|js:", source)
    assert not re.search(r"<script(?! src=)", source)


@pytest.mark.parametrize("sheet", sorted((STATIC / "css").glob("*.css")), ids=lambda path: path.name)
def test_files_named_in_style_sheets_exist(sheet):
    for name in re.findall(r'url\("([^"]+)"\)', sheet.read_text()):
        assert (sheet.parent / name).is_file()


@pytest.mark.parametrize("script", sorted((STATIC / "js").glob("*.js")), ids=lambda path: path.name)
def test_scripts_keep_to_the_policy(script):
    source = script.read_text()
    assert not re.search(r"\beval\(|new Function|insertAdjacentHTML|outerHTML =|setAttribute\(\"style\"", source)
    assert len(source.splitlines()) < 200


@pytest.mark.parametrize(("status", "word"), [(404, "Back to the start"), (503, "Try again")])
def test_errors_have_a_page_with_and_without_the_frame(status, word):
    context = {"status": status, "title": "Title", "message": "What happened"}
    assert word in render_to_string("error.html", context | {"shell": None})
    framed = render_to_string("error.html", context | {"shell": frame()})
    assert word in framed
    assert 'id="nav"' in framed
