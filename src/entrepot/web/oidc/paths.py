"""Where the pages are; the names are Harbor's, whose redirect address providers may have registered already."""

from typing import Final

LOGIN_PATH: Final = "/c/oidc/login"
CALLBACK_PATH: Final = "/c/oidc/callback"
ONBOARD_PATH: Final = "/c/oidc/onboard"
