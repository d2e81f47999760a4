"""What `up --demo` promises, seen from the terminal."""

import re

import pytest

from tests.browser.conftest import Demo
from tests.consoles import Console


@pytest.mark.browser
def test_it_loads_real_text_with_progress(demo: Demo) -> None:
    said = "\n".join(demo.first_lines)
    assert int(re.search(r"the demo is loaded: ([\d,]+) chunks", said)[1].replace(",", "")) >= 3000
    assert "of 2,598 records" in said or "succeeded" in said
    for tenant in ("northwind", "tailspin"):
        for role in ("viewer", "operator", "admin"):
            assert f"{role}@{tenant}.example" in said


@pytest.mark.browser
def test_a_second_start_does_not_load_it_again(demo: Demo) -> None:
    assert demo.console.stop() == 0
    again = Console(demo.console.env, "--demo")
    demo.console.process, demo.console.lines = again.process, again.lines
    again.until("the demo data is already there")
    said = "\n".join(again.lines)
    assert "password" not in said
    assert "reading" not in said
