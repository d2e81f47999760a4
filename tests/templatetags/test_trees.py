"""Payloads as trees: everything is shown as it is, nothing becomes markup."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collections_admin.templatetags import trees

ALLOWED = {"ul", "li", "b", "span", "details", "summary", "pre", "p"}


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.stack, self.text = [], []

    def handle_starttag(self, tag, attributes):
        assert tag in ALLOWED
        assert {name for name, _ in attributes} <= {"class", "role", "open"}
        self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert not checker.stack
    return "".join(checker.text)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
payloads = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


@given(payloads)
def test_any_payload_is_a_well_formed_tree_of_known_tags(payload):
    read(trees.tree(payload)).encode()


def test_hostile_keys_and_values_stay_text():
    shown = trees.tree({"<img src=x onerror=alert(1)>": '"><script>alert(1)</script>', "n": {"</ul>": "<b>" * 200}})
    assert "<img" not in shown
    assert "<script" not in shown
    assert '"><script>alert(1)</script>' in read(shown)


def test_large_integers_are_exact():
    assert str(2**53 + 1) in trees.tree({"id": 2**53 + 1})
    assert str(-(2**63)) in trees.tree([-(2**63)])


def test_integers_too_long_to_print_are_described():
    assert "an integer of 100001 bits" in trees.tree({"n": 2**100_000})


def test_true_and_null_read_like_json():
    assert read(trees.tree({"a": True, "b": None})) == "a trueb null"


def test_long_texts_are_cut_and_can_be_unfolded():
    text = "start" + "x" * 500 + "end"
    shown = trees.tree({"text": text})
    assert "all 508 characters" in shown
    assert f'<pre class="str">{text}</pre>' in shown


def test_depth_is_bounded():
    payload = value = {}
    for _ in range(500):
        value["a"] = {}
        value = value["a"]
    value["a"] = 1
    assert f"deeper than {trees.DEEPEST} levels" in trees.tree(payload)


def test_the_number_of_nodes_is_bounded():
    shown = trees.tree({str(number): list(range(1000)) for number in range(1000)})
    assert shown.count("<li") <= trees.MOST_NODES + 2 * trees.MOST_CHILDREN
    assert "copy the JSON to see all" in shown


def test_only_the_first_levels_are_unfolded():
    assert trees.tree({"a": {"b": {"c": 1}}}).count("<details open>") == 1
    assert trees.tree({"a": {"b": {"c": 1}}}, 2).count("<details open>") == 2


def test_empty_collections_are_named():
    assert "empty" in trees.tree({})
    assert read(trees.tree({"a": {}, "b": []})) == "a {}b []"


def test_json_text_is_json():
    assert json.loads(trees.json_text({"ä": [1, None]}, indent=2)) == {"ä": [1, None]}


@pytest.mark.parametrize("value", [{1: object()}, {(1, 2): 3}, {"a": "\ud800"}, float("nan")])
def test_what_is_not_json_still_has_a_text(value):
    trees.json_text(value).encode()


def test_what_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    assert json.loads(trees.json_text(loop)) == "cannot be shown as JSON"
