"""Tags in real templates, and the partials built from them."""

import pytest
from django import forms
from django.template import Context, Template, TemplateSyntaxError
from django.template.loader import render_to_string

from collections_admin.templatetags import console
from collections_admin.templatetags.icons import ICONS
from collections_admin.templatetags.states import KIND_ICONS, STATES

HOSTILE = '"><script>alert(1)</script>'


def render(source, **context):
    return Template(source).render(Context(context))


def test_an_icon_is_drawn_without_inline_style():
    shown = render('{% icon "search" %}')
    assert shown.startswith("<svg")
    assert "style=" not in shown
    assert 'aria-hidden="true"' in shown


def test_every_icon_is_a_complete_svg_element():
    for drawn in ICONS.values():
        assert drawn.startswith('<svg class="icon"')
        assert drawn.endswith("</svg>")
        assert drawn.count("<") == drawn.count(">")


@pytest.mark.parametrize("source", ['{% icon "no-such-icon" %}', "{% icon %}", '{% icon "a" "b" %}'])
def test_a_wrong_icon_is_found_when_the_template_is_read(source):
    with pytest.raises(TemplateSyntaxError):
        Template(source)


def test_an_icon_may_come_from_a_variable():
    assert render("{% icon name %}", name="close") == ICONS["close"]
    assert render("{% icon name %}", name=HOSTILE) == ""


def test_every_state_has_a_kind_with_a_sign():
    assert {state.kind for state in STATES.values()} <= set(KIND_ICONS)


def test_a_state_shows_dot_word_and_meaning():
    shown = render('{% status_pill "running" %}')
    assert 'class="status-pill is-run"' in shown
    assert 'title="A worker is on it"' in shown
    assert shown.endswith("Running</span>")


def test_a_state_can_be_reworded_and_linked():
    shown = render('{% status_pill "failed" title="Why" word="Broken" kind="warn" href=url %}', url="/a?b=1&c=2")
    assert shown == (
        '<a class="status-pill is-warn" title="Why" href="/a?b=1&amp;c=2"><span class="dot"></span>Broken</a>'
    )


@pytest.mark.parametrize("state", [HOSTILE, "", None, 7, "\ud800"])
def test_unknown_states_are_grey_text(state):
    shown = render("{% status_pill state %}", state=state)
    assert "is-idle" in shown
    assert "<script" not in shown
    shown.encode()


def test_ids_are_shortened_and_copied_whole():
    point = "9f2c0000-1111-2222-3333-4444555501ae"
    shown = render('{% copy_id point label="Copy point id" %}', point=point)
    assert f'data-copy="{point}"' in shown
    assert "9f2c…01ae" in shown
    assert point in render("{% copy_id point short=False %}", point=point).split("</span>")[1]


@pytest.mark.parametrize("value", [HOSTILE, "\0\ud800", 0, 12])
def test_hostile_ids_stay_text(value):
    shown = render("{% copy_id value %}", value=value)
    assert "<script" not in shown
    assert "data-copy=" in shown
    shown.encode()


def test_no_id_is_a_dash():
    assert render("{% copy_id value %}", value=None) == "–"


@pytest.mark.parametrize(
    ("level", "shown"), [("success", "is-ok"), ("error", "is-bad"), ("info", "is-run"), ("", "is-run")]
)
def test_levels_of_messages_have_a_class(level, shown):
    assert console.kind_class(level) == shown


def test_the_parts_of_the_time_fill_the_bar():
    shown = console.timing_bar(embedding=60, qdrant=20, client=None, rendering=20)
    assert [part["width"] for part in shown["parts"]] == ["60.00%", "20.00%", "20.00%"]
    assert [part["x"] for part in shown["parts"]] == ["0.00%", "60.00%", "80.00%"]
    assert [part["place"] for part in shown["parts"]] == [1, 2, 4]
    assert shown["total"] == 100


@pytest.mark.parametrize("value", [0, None, -5, float("nan"), "x"])
def test_a_time_that_makes_no_sense_draws_nothing_wrong(value):
    shown = render("{% timing_bar embedding=value qdrant=value %}", value=value)
    assert "nan" not in shown.lower()
    assert "-" not in "".join(part["width"] for part in console.timing_bar(embedding=value)["parts"])


@pytest.mark.parametrize(
    ("tag", "link"),
    [
        ("{% url_with page=2 %}", "?f=a%3A1&amp;f=b%3A2&amp;q=x+%26+%3Cb%3E&amp;page=2"),
        ("{% url_with f=None %}", "?q=x+%26+%3Cb%3E"),
        ("{% url_with f=several q=None %}", "?f=c&amp;f=d"),
        ("{% url_with f=None q=None %}", "?"),
        ("{% url_with f=hostile q=None %}", "?f=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E"),
    ],
)
def test_links_keep_the_other_parameters(rf, tag, link):
    request = rf.get("/", {"f": ["a:1", "b:2"], "q": "x & <b>"})
    assert render(tag, request=request, several=["c", "d"], hostile=HOSTILE) == link


class SampleForm(forms.Form):
    title = forms.CharField(max_length=3, help_text="Its name")
    body = forms.CharField(widget=forms.Textarea(attrs={"class": "is-code"}), required=False)
    kind = forms.ChoiceField(choices=[("a", "A")])
    way = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)
    kept = forms.BooleanField(required=False)
    file = forms.FileField(required=False)
    key = forms.CharField(widget=forms.HiddenInput)


def test_controls_get_the_class_of_their_kind():
    form = SampleForm()
    assert 'class="input"' in console.control(form["title"])
    assert 'class="is-code textarea"' in console.control(form["body"])
    assert 'class="select"' in console.control(form["kind"])
    assert [console.widget_kind(form[name]) for name in ("way", "kept", "file")] == ["choices", "checkbox", "file"]


def test_a_field_with_an_error_is_described_by_it():
    shown = render_to_string("shared/_field.html", {"field": SampleForm({"title": HOSTILE})["title"]})
    assert 'aria-invalid="true"' in shown
    assert 'aria-describedby="id_title_helptext id_title_error"' in shown
    assert 'id="id_title_error"' in shown
    assert 'id="id_title_helptext"' in shown
    assert "<script" not in shown


def test_a_form_lists_its_errors_with_links_also_of_hidden_fields():
    shown = render_to_string("shared/_form.html", {"form": SampleForm({}), "action": "/x/", "csrf_token": "t"})
    assert 'href="#id_title"' in shown
    assert "key: This field is required." in shown
    assert 'enctype="multipart/form-data"' in shown


class Token:
    label, value, text, remove_url = "status", HOSTILE, f"status:{HOSTILE}", "?"


PARTIALS = {
    "_notice": {"kind": "warn", "title": HOSTILE, "text": HOSTILE, "action_url": HOSTILE},
    "_empty": {"title": HOSTILE, "text": HOSTILE, "action_url": HOSTILE, "action_label": HOSTILE},
    "_pager": {"text": HOSTILE, "note": HOSTILE, "older_url": HOSTILE, "more_url": HOSTILE},
    "_confirm_name": {"name": HOSTILE, "error": HOSTILE},
    "_progress": {"value": HOSTILE, "max": HOSTILE, "label": HOSTILE},
    "_skeleton": {"label": HOSTILE},
    "_error": {"status": 503, "title": HOSTILE, "message": HOSTILE},
    "_filter_bar": {
        "action": HOSTILE,
        "fields": [HOSTILE],
        "q": HOSTILE,
        "filters": [Token],
        "keep": {HOSTILE: HOSTILE},
    },
}


@pytest.mark.parametrize("name", PARTIALS)
def test_partials_escape_what_they_show_and_hold_nothing_inline(name):
    shown = render_to_string(f"shared/{name}.html", PARTIALS[name])
    assert "<script" not in shown
    assert " style=" not in shown
    assert " onclick=" not in shown
    assert "script" in shown
