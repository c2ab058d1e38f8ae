"""Bytes on disk: written whole or not at all, and sealed with a digest over every byte."""
