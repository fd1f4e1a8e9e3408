"""The records' tables, as a list of migrations: each brings a database one version further and is never changed again.

Money is integer nano-dollars, times are seconds (`at` since the epoch), keys and sessions are salted hashes. `entries`
are what time cost, `attempts` hold what tokens cost: together they are the ledger. The columns are made for what
reads them later: drift (score, why, expected tokens), replay and training (needs, vector, text), statements.
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE prices (price_id TEXT PRIMARY KEY, price TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL,
        at REAL NOT NULL,
        api TEXT NOT NULL,
        stream INTEGER NOT NULL,
        key_hash BLOB,
        session_hash BLOB,
        local_only INTEGER NOT NULL,
        tier TEXT,
        backend TEXT,
        model TEXT,
        reason TEXT,
        final_reason TEXT,
        rule TEXT,
        score REAL,
        threshold REAL,
        why TEXT NOT NULL,
        router TEXT NOT NULL,
        feature_version INTEGER NOT NULL,
        needs TEXT NOT NULL,
        expected_tokens INTEGER,
        truncated INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        status INTEGER NOT NULL,
        error TEXT,
        classify REAL,
        first_token REAL,
        inter_token REAL,
        seconds REAL NOT NULL,
        overhead REAL NOT NULL,
        baseline_nano INTEGER,
        vector BLOB,
        text TEXT
    );
    CREATE INDEX requests_at ON requests (at);
    CREATE TABLE attempts (
        request INTEGER NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        backend TEXT NOT NULL,
        tier TEXT NOT NULL,
        outcome TEXT NOT NULL,
        queued REAL NOT NULL,
        first_token REAL,
        seconds REAL NOT NULL,
        input INTEGER,
        cached INTEGER,
        output INTEGER,
        estimated INTEGER,
        kind TEXT,
        nano_usd INTEGER,
        price_id TEXT NOT NULL,
        PRIMARY KEY (request, number)
    ) WITHOUT ROWID;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        minute INTEGER NOT NULL,
        tier TEXT NOT NULL,
        backend TEXT NOT NULL,
        kind TEXT NOT NULL,
        nano_usd INTEGER NOT NULL,
        price_id TEXT NOT NULL,
        request_id TEXT,
        attempt INTEGER
    );
    CREATE INDEX entries_minute ON entries (minute);
    CREATE TABLE baseline (
        minute INTEGER NOT NULL,
        name TEXT NOT NULL,
        nano_usd INTEGER NOT NULL,
        replicas INTEGER NOT NULL
    );
    CREATE INDEX baseline_minute ON baseline (minute);
    """,
)
