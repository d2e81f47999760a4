"""Settings of the project. What differs between installations comes from the environment (`.env.example`)."""

from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from dashboard import environment

BASE_DIR = Path(__file__).resolve().parent.parent
environment.load_env_file(BASE_DIR / ".env")

VERSION = "0.1.0"
DATA_DIR = environment.writable_folder("DATA_DIR", BASE_DIR / "data")
SECRET_KEY = environment.secret("SECRET_KEY", DATA_DIR / "secret_key")
DEBUG = environment.boolean("DEBUG", default=False)
LISTEN_HOST = environment.address("LISTEN_HOST", "127.0.0.1")
LISTEN_PORT = environment.integer("LISTEN_PORT", 8000, least=1, most=65535)
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", LISTEN_HOST])
# Exact origins of browsers, needed behind a proxy that ends TLS.
CSRF_TRUSTED_ORIGINS = environment.origins("TRUSTED_ORIGINS")
HTTPS = environment.boolean("HTTPS", default=False)

# ---- Qdrant (read by collections_admin.qdrant.client alone)
QDRANT_URL = environment.http_url("QDRANT_URL")
QDRANT_HOST = environment.text("QDRANT_HOST")
QDRANT_PORT = environment.integer("QDRANT_PORT", 6333, least=1, most=65535)
QDRANT_GRPC_PORT = environment.integer("QDRANT_GRPC_PORT", 6334, least=1, most=65535)
QDRANT_API_KEY = environment.text("QDRANT_API_KEY")
QDRANT_TIMEOUT = environment.number("QDRANT_TIMEOUT", 120, least=1, most=3600)
QDRANT_COLLECTION_PREFIX = environment.text("QDRANT_COLLECTION_PREFIX", "client_")
QDRANT_DEFAULT_VECTOR_SIZE = environment.integer("QDRANT_DEFAULT_VECTOR_SIZE", 1536, least=1, most=65535)
if not QDRANT_COLLECTION_PREFIX.replace("_", "").replace("-", "").isalnum() or len(QDRANT_COLLECTION_PREFIX) > 40:
    raise ImproperlyConfigured(
        "QDRANT_COLLECTION_PREFIX may hold letters, digits, _ and -, at most 40 of them, "
        f"not {QDRANT_COLLECTION_PREFIX!r}."
    )
if QDRANT_URL and QDRANT_HOST:
    raise ImproperlyConfigured("QDRANT_URL and QDRANT_HOST are both set; keep one of them.")
# With neither set the console starts its own embedded node on this loopback port.
EMBEDDED_NODE = not QDRANT_URL and not QDRANT_HOST
EMBEDDED_NODE_PORT = environment.integer("EMBEDDED_NODE_PORT", 16334, least=1, most=65535)
if EMBEDDED_NODE:
    QDRANT_HOST, QDRANT_GRPC_PORT = "127.0.0.1", EMBEDDED_NODE_PORT

# ---- Jobs
WORKER_CONCURRENCY = environment.integer("WORKER_CONCURRENCY", 2, least=1, most=32)
JOB_LEASE_SECONDS = environment.number("JOB_LEASE_SECONDS", 30, least=1, most=40)
JOB_HEARTBEAT_SECONDS = environment.number("JOB_HEARTBEAT_SECONDS", 5, least=0.1, most=10)

# ---- Django
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "axes",
    "dashboard",
    "collections_admin",
]
MIDDLEWARE = [
    "dashboard.in_loop.Security",
    "dashboard.middleware.content_security_policy",
    "dashboard.in_loop.Session",
    "dashboard.in_loop.Common",
    "dashboard.in_loop.Csrf",
    "dashboard.in_loop.Authentication",
    "dashboard.in_loop.Messages",
    "dashboard.in_loop.FrameOptions",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.middleware.ErrorPages",
    "axes.middleware.AxesMiddleware",
]
# The checks look for Django's own names of the middlewares for security, frames and forged requests.
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]
ROOT_URLCONF = "dashboard.urls"
ASGI_APPLICATION = "dashboard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "collections_admin.access.shell",
            ],
            "builtins": ["django.templatetags.static", "collections_admin.templatetags.console"],
        },
    }
]

_database = environment.database("DATABASE_URL", DATA_DIR / "console.sqlite3")
_pool_size = environment.integer("DB_POOL_SIZE", 5, least=1, most=200)
_pool_overflow = environment.integer("DB_MAX_OVERFLOW", 10, least=0, most=400)
_pool_timeout = environment.number("DB_POOL_TIMEOUT", 30, least=0.1, most=300)
if _database["ENGINE"].endswith("sqlite3"):
    _database["ENGINE"] = "django.db.backends.sqlite3"
    _database["OPTIONS"] = {
        # Deferred transactions that read and then write fail with "database is locked"; immediate ones wait.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
    # Opening the file and reading its schema anew takes 0.6 ms of each request; a minute bounds how long a file that
    # was replaced by a backup is not noticed.
    _database["CONN_MAX_AGE"] = 60
    _database["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    _database["ENGINE"] = "django.db.backends.postgresql"
    _database["CONN_MAX_AGE"] = 0  # persistent connections leak under ASGI; the pool keeps them instead
    _database["CONN_HEALTH_CHECKS"] = True  # after a restart of the server the pool would hand out dead ones
    _database.setdefault("OPTIONS", {})["pool"] = {
        "min_size": min(2, _pool_size),
        "max_size": _pool_size + _pool_overflow,
        "timeout": _pool_timeout,
        "max_idle": 60,
    }
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "collections_admin.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
# So credentials call it. Axes would look for "email" there and count every failure for nobody.
AXES_USERNAME_FORM_FIELD = "username"
AXES_LOCKOUT_TEMPLATE = "429.html"
AXES_VERBOSE = False
LOGIN_URL = reverse_lazy("login")
LOGIN_REDIRECT_URL = reverse_lazy("home")
LOGOUT_REDIRECT_URL = reverse_lazy("login")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "dashboard.views.errors.csrf_failure"

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "dashboard.static_files.HashedStaticFiles"},
}
# The ASGI wrapper caps whole bodies; this caps what Django keeps in memory of one that is not a file.
DATA_UPLOAD_MAX_MEMORY_SIZE = 9 * 1024 * 1024  # a pasted text of the greatest length
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": environment.text("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "axes": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
if LOGGING["root"]["level"] not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured("LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR.")
