"""The tables of a SQLite state file. Text, because package data files are easily left out of a wheel."""

from __future__ import annotations

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE caps (
    name TEXT PRIMARY KEY,
    cap INTEGER,          -- nano-USD; NULL = lifted
    configured INTEGER    -- the setting applied last
) WITHOUT ROWID;
CREATE TABLE scopes (
    scope TEXT PRIMARY KEY,
    settled INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0,
    frozen INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE models (
    model TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    consecutive_faults INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    opened_at REAL NOT NULL,
    probe TEXT,
    probe_owner TEXT,
    probe_until REAL NOT NULL,
    recent TEXT NOT NULL, -- JSON [[slot, calls, faults], ...]
    paused_until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE limiter_slots (
    model TEXT NOT NULL,
    slot INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (model, slot)
) WITHOUT ROWID;
CREATE TABLE intents (
    attempt_id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    scopes TEXT NOT NULL, -- JSON ["day:2026-11-22", ...]
    reserve INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    owner TEXT NOT NULL,
    record TEXT NOT NULL,
    slot INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    attempt_id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
);
CREATE TABLE owners (
    owner TEXT PRIMARY KEY,
    seen REAL NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cache_entries (
    key TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    used INTEGER NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX ix_cache_entries_used ON cache_entries (used);
CREATE TABLE cache_values (   -- apart, so that noting a use does not rewrite the answer
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
CREATE TABLE cache_leads (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE cache_counts (
    hits INTEGER NOT NULL,
    misses INTEGER NOT NULL,
    entries INTEGER NOT NULL DEFAULT 0 -- rows of cache_entries, which would take their number of steps to count
);
INSERT INTO cache_counts (hits, misses) VALUES (0, 0);
"""

# By the version they lead from.
UPGRADES = {
    1: """
ALTER TABLE cache_counts ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
UPDATE cache_counts SET entries = (SELECT count(*) FROM cache_entries);
""",
}
