"""What is open in FastAPI Users' OAuth routes, which are handed out as they are."""

import warnings

from fastapi_users_sqlmodel.exceptions import SecurityWarning

OAUTH_IS_OPEN = (
    "FastAPI Users' OAuth routes are not protected by this library yet. With associate_by_email=True, an account that "
    "somebody else has registered with a user's address is shared with them, and an address is believed that the "
    "provider has not verified. A state can be used again, and for another provider. There is no PKCE. Without "
    "redirect_url, the URL of the callback follows the Host header. The provider's tokens are stored in clear"
)


def warn_of_oauth(*, stacklevel: int) -> None:
    """Emit the `SecurityWarning` for the caller that makes such a router."""
    warnings.warn(OAUTH_IS_OPEN, SecurityWarning, stacklevel=stacklevel)
