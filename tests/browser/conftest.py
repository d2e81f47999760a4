"""A whole console with the demo's text, and a real browser in front of it."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.consoles import Console, environment

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Demo:
    """A console that has loaded its demo; `first_lines` is what it said meanwhile."""

    console: Console
    first_lines: list[str]
    password: str

    @property
    def address(self) -> str:
        return self.console.address


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Started once for these tests, on the kind of database that this run of the suite is for."""
    env = environment(tmp_path_factory.mktemp("demo"), **_own_database())
    console = Console(env, "--demo")
    try:
        console.until("the demo is loaded")
        password = re.search(r"their password: (\S+)", "\n".join(console.lines))[1]
        yield Demo(console=console, first_lines=list(console.lines), password=password)
    finally:
        console.stop()


def _own_database() -> dict[str, str]:
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        return {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS console_browser")
        connection.execute("CREATE DATABASE console_browser")
    return {"DATABASE_URL": re.sub(r"/[^/?]+(\?|$)", r"/console_browser\1", url, count=1)}


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Ends with this package: playwright keeps an event loop running in the main thread, where async tests need theirs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(demo: Demo, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """`open_page("operator@northwind.example", width=390, scheme="dark")` is a signed-in page.

    The test fails when a page logs an error, breaks the content security policy, or is answered with a 500.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def opened(email: str | None = None, *, width: int = 1440, scheme: str = "light", javascript: bool = True) -> Page:
        context = chromium.new_context(
            base_url=demo.address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: _note(problems, message))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: answer.status >= 500 and problems.append(f"{answer.status} {answer.url}"))
        if email:
            sign_in(page, email, demo.password)
        return page

    opened.problems = problems
    yield opened
    for context in contexts:
        context.close()
    assert problems == []


def _note(problems: list[str], message: object) -> None:
    # An answer of 4xx that a test provokes is logged by the browser itself.
    if message.type == "error" and "the server responded with a status of 4" not in message.text:
        problems.append(message.text)


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile(r"/tenants/"))


@pytest.fixture
def northwind(open_page: Callable[..., Page]) -> str:
    """The address of the tenant's pages."""
    page = open_page("viewer@northwind.example")
    return page.url.split("/collections/")[0]


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    file = tmp_path / "retention.md"
    file.write_text("# Retention\n\nWork records are kept for seven years after a project closes.\n")
    return file
