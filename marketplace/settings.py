"""All settings, read from the environment (.env.example lists every variable).

Production refuses to start without its secrets.
"""

import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before anything can import onnxruntime

import django_stubs_ext
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

django_stubs_ext.monkeypatch()  # lets ModelAdmin and friends take their type argument at run time

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
if (BASE_DIR / ".env").exists():
    env.read_env(str(BASE_DIR / ".env"))

PRODUCTION = env.str("DRIVEWAY_ENV", default="development") == "production"
HOME = Path(env.str("DRIVEWAY_HOME", default=str(BASE_DIR / ".driveway")))


def required(name: str, development: str) -> str:
    """Return an environment variable.

    If it is empty, development gets the given value and production raises ImproperlyConfigured.
    """
    value = str(env.str(name, default=""))
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"{name} must be set when DRIVEWAY_ENV=production. See .env.example.")
    return development


# Core
DEBUG = False if PRODUCTION else env.bool("DEBUG", default=False)
SECRET_KEY = required("DJANGO_SECRET_KEY", "development-only-" + "x" * 50)
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[] if PRODUCTION else ["127.0.0.1", "localhost", "[::1]", "testserver"]
)
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must be set when DRIVEWAY_ENV=production. See .env.example.")
ROOT_URLCONF = "marketplace.urls"
ASGI_APPLICATION = "marketplace.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "accounts",
    "compute",
    "billing",
    "marketplace.privacy",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",  # allauth's pages of security keys use it
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.OwnerLocale",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.context.actor",
                "marketplace.navigation.part",
                "marketplace.site_notice.site_notice",
            ],
            "libraries": {"units": "core.templatetags.units"},
        },
    }
]

# Database
# The role that the site connects as. It owns no table: `migrate` runs as the owner (DATABASE_OWNER_URL) and grants it
# what it needs. See core/db_role.py.
DATABASE_APP_ROLE = env.str("DATABASE_APP_ROLE", default="driveway_app")
DATABASES = {"default": env.db_url_config(required("DATABASE_URL", "postgres:///driveway"))}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # after a restart of PostgreSQL the pool replaces broken connections
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),
    # Under ASGI a connection cannot be kept per thread (CONN_MAX_AGE), so only a pool can reuse connections.
    "pool": {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", default=10), "timeout": 20},
}

# Redis: Celery's broker, cache and rate limits. Its content may be lost at any time; only PostgreSQL is relied on.
REDIS_URL = required("REDIS_URL", "redis://127.0.0.1:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# The vehicle link
NATS_URL = env.str("NATS_URL", default="")  # empty: no NATS, nodes poll over HTTPS
NATS_PUBLIC_URLS = env.list("NATS_PUBLIC_URLS", default=[NATS_URL] if NATS_URL else [])
NATS_TRUST_FILE = env.str("NATS_TRUST_FILE", default="")
NATS_USER_LIFETIME_S = 1800
LEASE_S = 15
UNIT_SECONDS = 60  # how long a unit should take on the slowest admitted class

# Blobs: models, unit inputs, results; content addressed
BLOB_ROOT = Path(env.str("BLOB_ROOT", default="") or HOME / "blobs")  # Path("") would be the current directory
MODEL_MAX_BYTES = 256 * 1024**2
INPUT_MAX_BYTES = 2 * 1024**3
RESULT_MAX_BYTES = 256 * 1024**2  # per unit; a job's joined result may be as large as an input
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024**2
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024**2

# Disputes of customers and owners (billing/disputes/disputes.py)
DISPUTE_DAYS = env.int("DISPUTE_DAYS", default=60)  # days to open a dispute, from a job's end or a statement's date
DISPUTE_MAX_MICRO = 10_000 * 10**6  # the most that an owner can claim is missing on one statement

# Privacy (marketplace/privacy/): exports are private files; an erasure begins after a cooling-off period
EXPORT_ROOT = Path(env.str("EXPORT_ROOT", default="") or HOME / "exports")
EXPORT_DAYS = 7
ERASURE_COOLING_OFF_DAYS = 7
# The longest that a due erasure waits for the owner's last payout. Together with the cooling-off days this stays below
# the three months of GDPR art. 12(3).
ERASURE_MONEY_WAIT_DAYS = env.int("ERASURE_MONEY_WAIT_DAYS", default=45)
ACCESS_REASON_MINUTES = 30  # how long staff may read owners' data for one stated reason

# Celery: every task looks at a row and does nothing if the row is done (CONTRIBUTING.md, "Tasks")
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# A signed record is not paid if it claims more processor time than the car's cores had since its lease, plus this
# slack.
METER_CLOCK_SLACK_MS = env.int("METER_CLOCK_SLACK_MS", default=5_000)

# A statement's package of records is signed with the Ed25519 seed, its OCMF records with the P-256 key (both hex).
STATEMENT_SIGNING_KEY = required("STATEMENT_SIGNING_KEY", "33" * 32)
STATEMENT_RETIRED_PUBLIC_KEYS = env.list("STATEMENT_RETIRED_PUBLIC_KEYS", default=[])
OCMF_SIGNING_KEY = required("OCMF_SIGNING_KEY", "44" * 32)

# Consent receipts are signed with this Ed25519 seed (hex). Receipts of earlier seeds verify with the retired public
# keys.
RECEIPT_SIGNING_KEY = required("RECEIPT_SIGNING_KEY", "11" * 32)
RECEIPT_RETIRED_PUBLIC_KEYS = env.list("RECEIPT_RETIRED_PUBLIC_KEYS", default=[])

# The data controller, the country where the data lies, and the supervisory authority: part of every consent record
CONTROLLER_NAME = required("CONTROLLER_NAME", "Driveway (development)")
CONTROLLER_ADDRESS = required("CONTROLLER_ADDRESS", "1 Example Road, Example City")
CONTROLLER_CONTACT = required("CONTROLLER_CONTACT", "privacy@driveway.example")
CONTROLLER_URL = required("CONTROLLER_URL", "https://driveway.example").rstrip("/")
CONTROLLER_COUNTRY = required("CONTROLLER_COUNTRY", "US")
AUTHORITY_NAME = required("AUTHORITY_NAME", "Example Data Protection Authority")
AUTHORITY_ADDRESS = required("AUTHORITY_ADDRESS", "2 Example Road, Example City")
AUTHORITY_CONTACT = required("AUTHORITY_CONTACT", "complaints@authority.example")
AUTHORITY_URL = required("AUTHORITY_URL", "https://authority.example")

# A line at the top of every page; none if empty. `make run` says here that its figures are made up.
SITE_NOTICE = env.str("SITE_NOTICE", default="")

# PDF documents: the seller on invoices and receipts, and fonts (TTF or OTF files) for scripts that Roboto lacks.
SELLER_NAME = env.str("SELLER_NAME", default="Driveway")
SELLER_ADDRESS = env.str("SELLER_ADDRESS", default="", multiline=True)
SELLER_TAX_ID = env.str("SELLER_TAX_ID", default="")
PDF_FONTS = env.list("PDF_FONTS", default=[])

# Stripe: top-ups by card and payouts, switched off without a key. `make run` starts a local fake and sets its key.
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com")
STRIPE_CHECKOUT_ORIGIN = env.str("STRIPE_CHECKOUT_ORIGIN", default="https://checkout.stripe.com")
# The signing secret of each webhook endpoint; while one is rotated, its old secret as well.
STRIPE_WEBHOOK_SECRETS = env.list("STRIPE_WEBHOOK_SECRETS", default=[])
if (
    PRODUCTION
    and STRIPE_SECRET_KEY
    and (
        not STRIPE_WEBHOOK_SECRETS
        or STRIPE_SECRET_KEY.startswith("sk_test_fake")
        or not STRIPE_API_BASE.startswith("https://")
    )
):
    raise ImproperlyConfigured(
        "With STRIPE_SECRET_KEY, production needs STRIPE_WEBHOOK_SECRETS and the real Stripe over https. "
        "See .env.example."
    )
# The site on which owners fill in their payout accounts: Stripe's, or the fake's.
STRIPE_CONNECT_ORIGIN = env.str(
    "STRIPE_CONNECT_ORIGIN",
    default="https://connect.stripe.com" if STRIPE_API_BASE == "https://api.stripe.com" else STRIPE_API_BASE,
)
# Countries that a transfer from our Stripe balance can reach: the US, Canada, the UK, Switzerland and the EEA. Any
# other country needs Stripe's cross-border payouts.
EEA = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
PAYOUT_COUNTRIES = env.list("PAYOUT_COUNTRIES", default=["US", "CA", "GB", "CH", *EEA.split()])
STATEMENT_GRACE_H = env.int("STATEMENT_GRACE_H", default=48)  # after a month's end, for work that is verified late
PAYOUT_HOLD_DAYS = env.int("PAYOUT_HOLD_DAYS", default=7)  # after a period's end; its work can be disputed until then
PAYOUT_MIN_MICRO = env.int("PAYOUT_MIN_MICRO", default=10_000_000)
# Country -> first year -> (tax form, currency, threshold in micro units): the form that reports an owner's earnings of
# a year, from that year on. Countries that are not listed have no form.
TAX_FORMS = env.json(
    "TAX_FORMS",
    default={"US": {"2025": ["1099-NEC", "USD", 600_000_000], "2026": ["1099-NEC", "USD", 2_000_000_000]}},
)
TOP_UP_MIN_MICRO = 5_000_000
TOP_UP_MAX_MICRO = 2_000_000_000
# The highest monthly limit, and the highest threshold, that a customer can set for automatic recharge.
AUTO_RECHARGE_MAX_MICRO = env.int("AUTO_RECHARGE_MAX_MICRO", default=50_000_000_000)
REFUND_MAX_AGE_DAYS = env.int("REFUND_MAX_AGE_DAYS", default=180)  # banks refuse refunds of payments that are older
PROMO_CREDIT_MAX_MICRO = env.int("PROMO_CREDIT_MAX_MICRO", default=1_000_000_000)  # per grant

# Accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "marketplace.operator_roles.OperatorRoles",  # grants permissions only; nobody signs in through it
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.owners.forms.SignupForm"
ACCOUNT_EMAIL_VERIFICATION = env.str("ACCOUNT_EMAIL_VERIFICATION", default="mandatory" if PRODUCTION else "optional")
ACCOUNT_REAUTHENTICATION_METHODS = {"password", "mfa"}  # not a code by mail: a mailbox alone must not be enough
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_EMAIL_NOTIFICATIONS = True  # allauth writes to a person whose password, address or second factor changes
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
EMAIL_CONFIG = env.email("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10
# Development without EMAIL_URL: mails go to this folder and are shown at /mails/ (marketplace/mailbox/). The embedded
# stack sets it.
MAIL_FOLDER = "" if PRODUCTION or env.str("EMAIL_URL", default="") else env.str("DRIVEWAY_MAILS", default="")
if MAIL_FOLDER:
    EMAIL_BACKEND = "marketplace.mailbox.backend.FolderBackend"
# The address that links in e-mails lead to. The embedded stack (`make run`) sets DRIVEWAY_URL to where it listens.
_site = env.str("DRIVEWAY_URL", default=f"https://{ALLOWED_HOSTS[0]}" if PRODUCTION else "http://127.0.0.1:8000")
SITE_URL = env.str("SITE_URL", default=_site).rstrip("/")
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Driveway <no-reply@driveway.example>")

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api_keys.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api_keys.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.JsonParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.api.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # Our uploads have a query parameter `format`; REST framework must not read it as the format of the response.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Driveway API",
    "DESCRIPTION": "Upload ONNX models, run batch inference on consenting vehicles, pay for verified work only.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

# Static files and time
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "marketplace" / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

# Security
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"httpx": {"level": "WARNING"}, "fontTools": {"level": "WARNING"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
}
