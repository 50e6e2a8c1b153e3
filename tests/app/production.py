"""An environment in which the service starts in production."""

import secrets

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "sqlite:///./test.db",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "PUBLIC_URL": "https://example.com",
    "SMTP_URL": "smtps://user:password@mail.example.com",
    "MAIL_FROM": "noreply@example.com",
}
