"""Security keys in a browser: `/c/login/key` takes what one has signed, `/c/security_keys` is the page about them."""
