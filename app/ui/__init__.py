"""Code that all pages share: listing, formatting, error pages and the request log."""
