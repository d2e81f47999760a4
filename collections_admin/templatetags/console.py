"""Tags and filters of all pages. They accept anything a record may hold, and escape it."""

from collections.abc import Mapping
from typing import Any

from django import forms, template
from django.template.base import FilterExpression, Node, Parser, TextNode, Token
from django.utils.html import format_html
from django.utils.safestring import SafeString

from collections_admin.templatetags import formats, marking, trees
from collections_admin.templatetags import navigation as navigations
from collections_admin.templatetags.icons import ICONS
from collections_admin.templatetags.states import KIND_ICONS, kind_of, shown

register = template.Library()

_INPUT_CLASSES = {
    "select": "select",
    "textarea": "textarea",
    "checkbox": "",
    "radio": "",
    "file": "file-input",
}


class _IconNode(Node):
    def __init__(self, name: FilterExpression) -> None:
        self.name = name

    def render(self, context: template.Context) -> str:
        return ICONS.get(str(self.name.resolve(context)), "")


@register.tag("icon")
def icon(parser: Parser, token: Token) -> Node:
    """`{% icon "search" %}`. A literal name is resolved when the template is compiled."""
    bits = token.split_contents()
    if len(bits) != 2:
        raise template.TemplateSyntaxError("icon takes one name")
    name = bits[1]
    if name[0] not in "\"'":
        return _IconNode(parser.compile_filter(name))
    if name[1:-1] not in ICONS:
        raise template.TemplateSyntaxError(f"there is no icon {name}")
    return TextNode(ICONS[name[1:-1]])


@register.simple_tag
def kind_icon(kind: Any) -> SafeString:
    """The sign of a notice or toast."""
    return ICONS[KIND_ICONS[kind_of(kind)]]


@register.filter
def kind_class(kind: Any) -> str:
    """`is-ok`, `is-run`, `is-warn`, `is-bad` or `is-idle`, from a kind or the name of a message level."""
    return f"is-{kind_of(kind)}"


register.filter("digits", formats.grouped)
register.filter("duration_ms", formats.duration)
register.filter("bytes_size", formats.size)
register.filter("json_attr", trees.json_text)
register.filter("highlight", marking.marked)


@register.filter
def json_pretty(value: Any) -> str:
    return trees.json_text(value, indent=2)


@register.filter
def excerpt(text: Any, query: Any = "") -> SafeString:
    return marking.excerpt(text, query)


@register.filter
def ago(value: Any) -> str:
    """A `<time>` that says how long ago, with the exact time in its title."""
    return _time(value, formats.relative, "ago")


@register.filter
def elapsed(value: Any) -> str:
    """A `<time>` that says how long since, without "ago"."""
    return _time(value, formats.elapsed, "elapsed")


@register.filter
def exact_time(value: Any) -> str:
    """A `<time>` with date, hours, minutes and seconds."""
    return _time(value, lambda when: f"{when:%-d %b %Y %H:%M:%S}", "")


def _time(value: Any, wording: Any, live: str) -> str:
    when = formats.moment(value)
    if when is None:
        return formats.NOTHING
    return format_html(
        '<time datetime="{}" title="{}" data-{}>{}</time>',
        when.isoformat(),
        f"{when:%-d %b %Y %H:%M:%S %Z}",
        live or "exact",
        wording(when),
    )


@register.simple_tag
def copy_id(value: Any, label: str = "Copy id", *, short: bool = True) -> str:
    """A button with the short form of an id that copies the whole one."""
    text = formats.readable("" if value is None else value)
    if not text:
        return formats.NOTHING
    seen = f"{text[:4]}…{text[-4:]}" if short and len(text) > 13 else text
    return format_html(
        '<button class="copy" type="button" data-copy="{}" title="{}: {}">'
        '<span class="visually-hidden">{} </span>{}{}</button>',
        text,
        label,
        text[:200],
        label,
        seen,
        ICONS["copy"],
    )


@register.simple_tag
def status_pill(state: Any, *, title: str = "", word: str = "", kind: str = "", href: str = "") -> str:
    """Dot and word, with the word's meaning in the tooltip."""
    found = shown(formats.readable("" if state is None else getattr(state, "value", state)))
    tag, link = ("a", format_html(' href="{}"', href)) if href else ("span", "")
    return format_html(
        '<{tag} class="status-pill is-{kind}" title="{title}"{link}><span class="dot"></span>{word}</{tag}>',
        tag=tag,
        kind=kind_of(kind or found.kind),
        title=title or found.meaning,
        link=link,
        word=word or found.word,
    )


@register.simple_tag(takes_context=True)
def url_with(context: template.Context, **changes: Any) -> str:
    """The page's GET parameters with some changed: None drops one, a list gives it several values."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters.setlist(name, value if isinstance(value, list | tuple) else [value])
    return f"?{parameters.urlencode()}"


@register.simple_tag
def payload_tree(payload: Any, *, open: int = 1) -> SafeString:  # noqa: A002 - reads as the HTML attribute
    """Nested `<details>`, the first `open` levels unfolded."""
    return trees.tree(payload, open)


@register.inclusion_tag("shared/_timing.html")
def timing_bar(
    *,
    embedding: Any = None,
    qdrant: Any = None,
    client: Any = None,
    rendering: Any = None,
    note: str = "",
) -> Mapping[str, Any]:
    """Milliseconds of each part, as one bar and a legend; None leaves a part out."""
    named = (
        ("Embedding", embedding),
        ("Qdrant", qdrant),
        ("Client and network", client),
        ("Rendering", rendering),
    )
    known = [(name, place, formats.number(value)) for place, (name, value) in enumerate(named, 1)]
    known = [(name, place, max(value, 0)) for name, place, value in known if value is not None]
    total = sum(value for _, _, value in known)
    parts, left = [], 0.0
    for name, place, value in known:
        width = 100 * value / total if total else 0
        parts.append({"name": name, "place": place, "ms": value, "x": f"{left:.2f}%", "width": f"{width:.2f}%"})
        left += width
    return {"parts": parts, "total": total, "note": note}


@register.filter
def control(field: forms.BoundField) -> SafeString:
    """The field's widget with the console's classes; Django adds `aria-invalid` and `aria-describedby`."""
    widget = field.field.widget
    kind = _kind_of_widget(widget)
    wanted = _INPUT_CLASSES.get(kind, "input")
    classes = " ".join(filter(None, (widget.attrs.get("class", ""), wanted)))
    return field.as_widget(attrs={"class": classes} if classes else {})


@register.filter
def widget_kind(field: forms.BoundField) -> str:
    """`checkbox`, `choices` (radio buttons, several checkboxes), `file`, `select`, `textarea` or `input`."""
    return _kind_of_widget(field.field.widget)


def _kind_of_widget(widget: forms.Widget) -> str:
    if isinstance(widget, forms.CheckboxInput):
        return "checkbox"
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, forms.FileInput):
        return "file"
    if isinstance(widget, forms.Select):
        return "select"
    return "textarea" if isinstance(widget, forms.Textarea) else "input"


@register.simple_tag
def navigation(shell: Any) -> SafeString:
    return navigations.rendered(navigations.navigation_of(shell))
