"""Runs are tested without waiting for the disk; the kills, in a process of their own, wait."""

from __future__ import annotations

import os

import pytest

from safelatent.runs import store


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch):
    connect = store.connect

    def careless(place):
        database = connect(place)
        database.execute("PRAGMA synchronous = OFF")
        return database

    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(store, "connect", careless)
