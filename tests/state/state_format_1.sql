-- A state file as the program of format 1 left it when it was killed with two attempts under way.
BEGIN TRANSACTION;
CREATE TABLE cache_counts (
    hits INTEGER NOT NULL,
    misses INTEGER NOT NULL
);
INSERT INTO "cache_counts" VALUES(1,3);
CREATE TABLE cache_entries (
    key TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    used INTEGER NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "cache_entries" VALUES('k1',1795306600.0,3,3);
INSERT INTO "cache_entries" VALUES('k2',1795306600.0,2,5);
CREATE TABLE cache_leads (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "cache_leads" VALUES('led','old',1795305616.0);
CREATE TABLE cache_values (   -- apart, so that noting a use does not rewrite the answer
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
INSERT INTO "cache_values" VALUES('k1',X'6F6E65');
INSERT INTO "cache_values" VALUES('k2',X'7468726565');
CREATE TABLE caps (
    name TEXT PRIMARY KEY,
    cap INTEGER,          -- nano-USD; NULL = lifted
    configured INTEGER    -- the setting applied last
) WITHOUT ROWID;
INSERT INTO "caps" VALUES('day',5000,5000);
INSERT INTO "caps" VALUES('org',100000,100000);
INSERT INTO "caps" VALUES('task:t',700,NULL);
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
INSERT INTO "intents" VALUES('c5-1','openai/m','["day:2026-11-22", "org"]',100,15,'old','{"attempt_id": "c5-1", "call_id": "c5", "number": 1, "model": "openai/m", "charge": "ambiguous", "outcome": "lost", "reserved_nano_usd": 100, "cost_nano_usd": 100, "input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 0, "price": null, "scopes": ["day:2026-11-22", "org"], "provider_request_id": null, "started_at": 1795305600.0, "finished_at": 1795305601.0, "latency_s": 1.0, "owner": "old", "call": {"purpose": "batch", "task": "t", "prompt_version_id": null, "step": null, "dataset_version_id": null, "row_id": "r1", "run_id": null, "batch_id": null, "experiment_id": null, "unit_id": null, "call_id": "c5", "requested_model": "openai/m", "started_at": 1795305600.0}}',1795305605);
INSERT INTO "intents" VALUES('c6-1','openai/m','["day:2026-11-22", "org"]',100,15,'old','{"attempt_id": "c6-1", "call_id": "c6", "number": 1, "model": "openai/m", "charge": "ambiguous", "outcome": "lost", "reserved_nano_usd": 100, "cost_nano_usd": 100, "input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 0, "price": null, "scopes": ["day:2026-11-22", "org"], "provider_request_id": null, "started_at": 1795305600.0, "finished_at": 1795305601.0, "latency_s": 1.0, "owner": "old", "call": {"purpose": "batch", "task": "t", "prompt_version_id": null, "step": null, "dataset_version_id": null, "row_id": "r1", "run_id": null, "batch_id": null, "experiment_id": null, "unit_id": null, "call_id": "c6", "requested_model": "openai/m", "started_at": 1795305600.0}}',1795305606);
CREATE TABLE limiter_slots (
    model TEXT NOT NULL,
    slot INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (model, slot)
) WITHOUT ROWID;
INSERT INTO "limiter_slots" VALUES('openai/m',1795305601,1,15);
INSERT INTO "limiter_slots" VALUES('openai/m',1795305602,1,15);
INSERT INTO "limiter_slots" VALUES('openai/m',1795305603,1,0);
INSERT INTO "limiter_slots" VALUES('openai/m',1795305604,1,15);
INSERT INTO "limiter_slots" VALUES('openai/m',1795305605,1,15);
INSERT INTO "limiter_slots" VALUES('openai/m',1795305606,1,15);
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
INSERT INTO "models" VALUES('openai/m','closed',0,0,0.0,NULL,NULL,0.0,'[]',1795305639.0);
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    attempt_id TEXT NOT NULL UNIQUE,
    record TEXT NOT NULL
);
INSERT INTO "outbox" VALUES(2,'c2-1','{"attempt_id": "c2-1", "call_id": "c2", "number": 1, "model": "openai/m", "charge": "ambiguous", "outcome": "timeout", "reserved_nano_usd": 100, "cost_nano_usd": 100, "input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 0, "price": null, "scopes": ["day:2026-11-22", "org"], "provider_request_id": null, "started_at": 1795305600.0, "finished_at": 1795305601.0, "latency_s": 1.0, "owner": "old", "call": {"purpose": "batch", "task": "t", "prompt_version_id": null, "step": null, "dataset_version_id": null, "row_id": "r1", "run_id": null, "batch_id": null, "experiment_id": null, "unit_id": null, "call_id": "c2", "requested_model": "openai/m", "started_at": 1795305600.0}}');
INSERT INTO "outbox" VALUES(3,'c3-1','{"attempt_id": "c3-1", "call_id": "c3", "number": 1, "model": "openai/m", "charge": "free", "outcome": "rate_limited", "reserved_nano_usd": 100, "cost_nano_usd": 0, "input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 0, "price": null, "scopes": ["day:2026-11-22", "org"], "provider_request_id": null, "started_at": 1795305600.0, "finished_at": 1795305601.0, "latency_s": 1.0, "owner": "old", "call": {"purpose": "batch", "task": "t", "prompt_version_id": null, "step": null, "dataset_version_id": null, "row_id": "r1", "run_id": null, "batch_id": null, "experiment_id": null, "unit_id": null, "call_id": "c3", "requested_model": "openai/m", "started_at": 1795305600.0}}');
INSERT INTO "outbox" VALUES(4,'c4-1','{"attempt_id": "c4-1", "call_id": "c4", "number": 1, "model": "openai/m", "charge": "settled", "outcome": "ok", "reserved_nano_usd": 100, "cost_nano_usd": 60, "input_tokens": 10, "output_tokens": 5, "cached_input_tokens": 0, "price": null, "scopes": ["day:2026-11-22", "org"], "provider_request_id": null, "started_at": 1795305600.0, "finished_at": 1795305601.0, "latency_s": 1.0, "owner": "old", "call": {"purpose": "batch", "task": "t", "prompt_version_id": null, "step": null, "dataset_version_id": null, "row_id": "r1", "run_id": null, "batch_id": null, "experiment_id": null, "unit_id": null, "call_id": "c4", "requested_model": "openai/m", "started_at": 1795305600.0}}');
CREATE TABLE owners (
    owner TEXT PRIMARY KEY,
    seen REAL NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "owners" VALUES('old',1795305600.0,'elsewhere',1,1);
CREATE TABLE scopes (
    scope TEXT PRIMARY KEY,
    settled INTEGER NOT NULL DEFAULT 0,
    ambiguous INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0,
    frozen INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO "scopes" VALUES('day:2026-11-22',100,100,200,0);
INSERT INTO "scopes" VALUES('org',100,100,200,0);
CREATE INDEX ix_cache_entries_used ON cache_entries (used);
COMMIT;
PRAGMA user_version = 1;
