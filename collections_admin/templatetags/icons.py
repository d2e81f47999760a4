"""Icons of the console: inner SVG markup by name, on a grid of 16 by 16, in the colour of the text."""

from types import MappingProxyType

from django.utils.safestring import SafeString, mark_safe

SHAPES = {
    "overview": '<path d="M2.5 9.5 8 3l5.5 6.5M4 8v5h8V8"/>',
    "collections": (
        '<ellipse cx="8" cy="4" rx="5.5" ry="2"/><path d="M2.5 4v8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 '
        '8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2"/>'
    ),
    "document": '<path d="M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.3M6.3 8.4h4M6.3 11h4"/>',
    "search": '<circle cx="7" cy="7" r="4.5"/><path d="m10.4 10.4 3.4 3.4"/>',
    "jobs": '<path d="M2.5 4h1M2.5 8h1M2.5 12h1M6 4h7.5M6 8h7.5M6 12h7.5"/>',
    "gauge": '<path d="M2.5 12a6 6 0 1 1 11 0M8 10l3-4"/><circle cx="8" cy="10.3" r=".8"/>',
    "chart": '<path d="M2.5 2.5v11h11M5 10.5l2.5-3.5 2.2 2L13 4.5"/>',
    "bell": '<path d="M4 7a4 4 0 0 1 8 0c0 3.2 1.3 4 1.3 4H2.7S4 10.2 4 7M6.7 13.3a1.4 1.4 0 0 0 2.6 0"/>',
    "shield": '<path d="M8 1.8 13 3.6v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4zM5.8 8l1.6 1.6 2.9-3.1"/>',
    "settings": (
        '<path d="M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6"/><circle cx="10" cy="4.5" '
        'r="1.6"/><circle cx="6" cy="11.5" r="1.6"/>'
    ),
    "tenants": ('<path d="M2.5 14V4.5L8 2v12M8 6l5.5 2v6M1.5 14h13M5 6.5v.1M5 9v.1M5 11.5v.1M10.8 10v.1M10.8 12v.1"/>'),
    "screen": '<rect x="2" y="3" width="12" height="8" rx="1.2"/><path d="M6 14h4"/>',
    "sun": (
        '<circle cx="8" cy="8" r="2.8"/><path d="M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 '
        '3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9"/>'
    ),
    "moon": '<path d="M13.3 9.6A5.7 5.7 0 0 1 6.4 2.7a5.7 5.7 0 1 0 6.9 6.9"/>',
    "menu": '<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>',
    "user": '<circle cx="8" cy="5.5" r="2.7"/><path d="M2.8 13.7c.6-2.6 2.6-4 5.2-4s4.6 1.4 5.2 4"/>',
    "users": (
        '<circle cx="6" cy="5.5" r="2.4"/><path d="M1.5 13.3c.5-2.4 2.2-3.7 4.5-3.7s4 1.3 4.5 3.7M10.5 '
        '3.3a2.4 2.4 0 0 1 0 4.5M12 9.8c1.4.4 2.2 1.6 2.5 3.5"/>'
    ),
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "filter": '<path d="M2 3.5h12L9.5 8.7v4.3l-3-1.5V8.7z"/>',
    "close": '<path d="m4 4 8 8M12 4l-8 8"/>',
    "down": '<path d="m4 6 4 4 4-4"/>',
    "up": '<path d="m4 10 4-4 4 4"/>',
    "left": '<path d="m10 4-4 4 4 4"/>',
    "right": '<path d="m6 4 4 4-4 4"/>',
    "switch": '<path d="m5 6 3-3 3 3M5 10l3 3 3-3"/>',
    "more": '<circle cx="3.5" cy="8" r=".7"/><circle cx="8" cy="8" r=".7"/><circle cx="12.5" cy="8" r=".7"/>',
    "refresh": '<path d="M13.3 8a5.3 5.3 0 1 1-1.6-3.8M13.3 2.2v3h-3"/>',
    "stop": '<rect x="4" y="4" width="8" height="8" rx="1"/>',
    "download": '<path d="M8 2.5v8M4.8 7.5 8 10.7l3.2-3.2M2.5 13.5h11"/>',
    "upload": '<path d="M8 10.7V2.7M4.8 5.7 8 2.5l3.2 3.2M2.5 13.5h11"/>',
    "plug": '<path d="M6 2v3M10 2v3M4.5 5h7v2.5A3.5 3.5 0 0 1 8 11a3.5 3.5 0 0 1-3.5-3.5zM8 11v3"/>',
    "copy": (
        '<rect x="5.5" y="5.5" width="8" height="8" rx="1.3"/><path d="M10.5 '
        '5.3V3.8c0-.7-.6-1.3-1.3-1.3H3.8c-.7 0-1.3.6-1.3 1.3v5.4c0 .7.6 1.3 1.3 1.3h1.5"/>'
    ),
    "link": (
        '<path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.2-2.2A2.6 2.6 0 0 0 9 3.3l-.8.8M9.2 6.8a2.6 2.6 0 0 '
        '0-3.7 0L3.3 9A2.6 2.6 0 0 0 7 12.7l.8-.8"/>'
    ),
    "warning": '<path d="M8 2.3 14.2 13H1.8zM8 6.5v3M8 11.2v.1"/>',
    "error": '<circle cx="8" cy="8" r="6"/><path d="M8 4.8v3.6M8 10.9v.1"/>',
    "info": '<circle cx="8" cy="8" r="6"/><path d="M8 7.4v3.6M8 5v.1"/>',
    "success": '<circle cx="8" cy="8" r="6"/><path d="m5.3 8.2 1.9 1.9 3.5-4"/>',
    "check": '<path d="m3 8.5 3.3 3.3L13 4.8"/>',
    "clock": '<circle cx="8" cy="8" r="6"/><path d="M8 4.8V8l2.2 1.5"/>',
    "lock": '<rect x="3.5" y="7" width="9" height="6.5" rx="1.2"/><path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2"/>',
    "unlock": ('<rect x="3.5" y="7" width="9" height="6.5" rx="1.2"/><path d="M5.5 7V5a2.5 2.5 0 0 1 4.9-.7"/>'),
    "trash": '<path d="M2.8 4.3h10.4M6.3 4V2.5h3.4V4M4.2 4.5l.6 9h6.4l.6-9"/>',
    "archive": '<path d="M2 3h12v3H2zM3 6v7h10V6M6.5 8.8h3"/>',
    "play": '<path d="M5 3.2v9.6L12.8 8z"/>',
    "brand": ('<path d="M8 1.6 13.6 4.8v6.4L8 14.4l-5.6-3.2V4.8z"/><path d="M8 5 10.7 6.5v3L8 11 5.3 9.5v-3z"/>'),
    "bolt": '<path d="M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z"/>',
    "edit": '<path d="m2.8 13.2.6-2.8 7.7-7.7 2.2 2.2-7.7 7.7zM9.5 4.3l2.2 2.2"/>',
    "undo": '<path d="M3 7h6.5a3.5 3.5 0 0 1 0 7H6M3 7l3-3M3 7l3 3"/>',
    "arrow": '<path d="M2.5 8h11M9.5 4l4 4-4 4"/>',
    "sign-out": '<path d="M6.5 2.5h-4v11h4M10.5 5l3 3-3 3M13.5 8h-7"/>',
    "key": '<circle cx="5" cy="11" r="2.7"/><path d="m7 9 6-6M11 5l2 2M9.5 6.5l1.5 1.5"/>',
    "layers": '<path d="M8 2 14 5 8 8 2 5zM2 8l6 3 6-3M2 11l6 3 6-3"/>',
    "external": '<path d="M6.5 3.5h-4v10h10v-4M9.5 2.5h4v4M13.5 2.5 7.5 8.5"/>',
    "keyboard": (
        '<rect x="1.5" y="4" width="13" height="8.5" rx="1.2"/><path d="M4 7v.1M6.7 7v.1M9.3 7v.1M12 7v.1M5 10h6"/>'
    ),
}

_FRAME = '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">{}</svg>'

# Constants of this file, so nothing here needs escaping.
ICONS: MappingProxyType[str, SafeString] = MappingProxyType(
    {name: mark_safe(_FRAME.format(shapes)) for name, shapes in SHAPES.items()}  # noqa: S308 - constants above
)
