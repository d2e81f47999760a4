"""What the web server calls: HTTP to Django, sockets to Channels, and the start and end of the process."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Models can be imported only after Django has been set up.
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

from collections_admin.routing import websocket_urlpatterns
from dashboard.protection import BodyLimit, SameOrigin
from dashboard.lifespan import Lifespan

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(django_application),
        "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
        "lifespan": Lifespan(),
    }
)
