"""What the web server calls: HTTP to Django, sockets to Channels, and the start and end of the process."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Models can be imported only after Django has been set up.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from collections_admin.routing import websocket_urlpatterns  # noqa: E402
from dashboard.lifespan import Lifespan  # noqa: E402
from dashboard.protection import BodyLimit, SameOrigin  # noqa: E402
from dashboard.sockets import ClosedAtOnce  # noqa: E402
from dashboard.threads import KeptThreads  # noqa: E402

pages = KeptThreads(django_application)
application = ProtocolTypeRouter(
    {
        "http": BodyLimit(pages),
        "websocket": SameOrigin(ClosedAtOnce(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))),
        "lifespan": Lifespan(pages),
    }
)
