"""Figures: each script here measures one thing and prints it."""
