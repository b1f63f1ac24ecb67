"""Domains: where a problem lives, its named boundary pieces, and quadrature on both."""
