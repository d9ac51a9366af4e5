"""Engines: the existing software that runs the containers, behind one interface."""
