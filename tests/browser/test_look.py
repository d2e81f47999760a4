"""Every page, wide and narrow, light and dark: accessible, within its width, without an error of its own."""

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

PAGES = {
    "tenants": "/tenants/",
    "tenant": "{tenant}/",
    "add member": "{tenant}/members/add/",
    "collections": "{tenant}/collections/",
    "new collection": "{tenant}/collections/new/",
    "collection": "{tenant}/collections/api_reference/",
    "collection settings": "{tenant}/collections/api_reference/edit/",
    "clean up": "{tenant}/collections/api_reference/clean-up/",
    "chunks": "{tenant}/collections/api_reference/chunks/",
    "filtered chunks": "{tenant}/collections/api_reference/chunks/?f=meta.kind:class&q=json",
    "bad filter": "{tenant}/collections/api_reference/chunks/?f=rev:>abc",
    "documents": "{tenant}/documents/",
    "no documents": "{tenant}/documents/?f=status:failed",
    "files": "{tenant}/documents/new/",
    "paste": "{tenant}/documents/new/paste/",
    "import": "{tenant}/documents/new/import/",
    "search": "{tenant}/search/?q=read+a+file+line+by+line&table=api_reference",
    "empty search": "{tenant}/search/",
    "jobs": "{tenant}/jobs/",
    "password": "/accounts/password/",
    "missing": "{tenant}/collections/no_such_table/",
}
FROM_LISTS = {
    "document": ("{tenant}/documents/", r"/documents/[0-9a-f-]{36}/$"),
    "chunk": ("{tenant}/collections/documents/chunks/", r"/chunks/[0-9a-f-]{36}/"),
    "job": ("{tenant}/jobs/", r"/jobs/[0-9a-f-]{36}/$"),
}


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_pages_are_accessible_and_keep_their_width(open_page: Callable[..., Page], width: int) -> None:
    page = open_page("admin@northwind.example", width=width)
    found: list[str] = []
    for name, address in addresses_of(page).items():
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.goto(address)
        page.wait_for_load_state("networkidle")
        overflow = page.evaluate("document.documentElement.scrollWidth") - width
        if overflow > 0:
            found.append(f"{name}: {overflow} px too wide")
        found += violations(page, f"{name}, light")
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found += violations(page, f"{name}, dark")
    assert not found, "\n".join(found)


def addresses_of(page: Page) -> dict[str, str]:
    tenant = re.search(r"/tenants/\d+", page.url)[0]
    addresses = {name: path.format(tenant=tenant) for name, path in PAGES.items()}
    for name, (path, pattern) in FROM_LISTS.items():
        page.goto(path.format(tenant=tenant))
        links = page.locator("main a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
        addresses[name] = next(href for href in links if href and re.search(pattern, href))
    return addresses


def violations(page: Page, name: str) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{name}: {one['id']}: {'; '.join(node['html'][:120] for node in one['nodes'][:2])}" for one in found]


@pytest.mark.browser
def test_the_sign_in_page_is_accessible(open_page: Callable[..., Page]) -> None:
    page = open_page(width=390, scheme="dark")
    page.goto("/accounts/login/")
    assert violations(page, "sign in") == []
