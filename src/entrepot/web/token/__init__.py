"""`/token`: where clients get the tokens that `/v2/` asks for (Docker token specification)."""
