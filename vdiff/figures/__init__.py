"""Figures from tidy tables and arrays; nothing here imports torch."""
