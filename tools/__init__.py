"""What builds, checks and measures Entrepot; nothing here is part of the product."""
