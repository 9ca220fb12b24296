"""The documents as a site, and the examples in them."""
