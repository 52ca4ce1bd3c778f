-- The durable state of a deployment (docs/journal.md). Instants are Unix seconds, JSON is kept as bytes.

CREATE TABLE meta (k TEXT PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, workflow TEXT NOT NULL, version TEXT NOT NULL, digest BLOB NOT NULL,
    state INTEGER NOT NULL, input BLOB NOT NULL, created_at REAL NOT NULL, event INTEGER NOT NULL DEFAULT 0,
    cause TEXT NOT NULL DEFAULT '', correlation TEXT NOT NULL DEFAULT '', hops INTEGER NOT NULL DEFAULT 0,
    parent INTEGER NOT NULL DEFAULT 0, parent_ord INTEGER NOT NULL DEFAULT 0, depth INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 5, actor TEXT NOT NULL DEFAULT '', labels BLOB NOT NULL DEFAULT x'',
    traceparent TEXT NOT NULL DEFAULT '', vars BLOB NOT NULL DEFAULT x'', flow BLOB NOT NULL DEFAULT x'', output BLOB,
    error BLOB, steps BLOB, cancel BLOB, metadata BLOB NOT NULL DEFAULT x'', recoveries INTEGER NOT NULL DEFAULT 0,
    transitions INTEGER NOT NULL DEFAULT 1, gen INTEGER NOT NULL DEFAULT 0, started_at REAL, ended_at REAL,
    node INTEGER, keyed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX run_open ON run (id) WHERE state < 10;
CREATE INDEX run_held ON run (workflow) WHERE state < 2;
CREATE INDEX run_bad ON run (state, id) WHERE state > 10;
CREATE INDEX run_workflow ON run (workflow, id);
CREATE INDEX run_event ON run (event) WHERE event <> 0;
CREATE INDEX run_parent ON run (parent) WHERE parent <> 0;
CREATE INDEX run_correlation ON run (correlation) WHERE correlation <> '';

CREATE TABLE j (
    seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, ord INTEGER NOT NULL, kind INTEGER NOT NULL, body BLOB NOT NULL,
    gen INTEGER NOT NULL, name_hash INTEGER NOT NULL, UNIQUE (run, ord, kind, gen)
) STRICT;

CREATE TABLE label (
    name TEXT NOT NULL, value TEXT NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (name, value, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX label_run ON label (run);

CREATE TABLE held (
    policy TEXT NOT NULL, key TEXT NOT NULL, rank REAL NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (policy, key, rank, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_run ON held (run);

CREATE TABLE flow (
    policy TEXT NOT NULL, key TEXT NOT NULL, state BLOB, deadline REAL, PRIMARY KEY (policy, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_due ON flow (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX flow_empty ON flow (policy) WHERE state IS NULL;

CREATE TABLE cancel_key (
    binding TEXT NOT NULL, key TEXT NOT NULL, run INTEGER NOT NULL, open INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (binding, key, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX cancel_key_run ON cancel_key (run);

CREATE TABLE event (
    key INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, trigger TEXT NOT NULL,
    at REAL NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, correlation TEXT NOT NULL, notes BLOB
) STRICT;
CREATE TABLE unmatched (
    key INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, trigger TEXT NOT NULL,
    at REAL NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, correlation TEXT NOT NULL, notes BLOB
) STRICT;
CREATE INDEX unmatched_id ON unmatched (id);

CREATE TABLE waited (
    pattern TEXT NOT NULL, key TEXT NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (pattern, key, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX waited_event ON waited (event);

CREATE TABLE dead_letter (
    key INTEGER PRIMARY KEY, at REAL NOT NULL, trigger TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL,
    code TEXT NOT NULL, error BLOB NOT NULL, raw BLOB, event INTEGER NOT NULL, workflow TEXT NOT NULL,
    entry INTEGER NOT NULL, meta BLOB NOT NULL, attempts INTEGER NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE INDEX dead_letter_state ON dead_letter (state, key);

CREATE TABLE mark (
    scope TEXT NOT NULL, key TEXT NOT NULL, value BLOB, at REAL NOT NULL DEFAULT 0, PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX mark_at ON mark (at) WHERE at > 0;
CREATE INDEX mark_empty ON mark (scope) WHERE value IS NULL;

CREATE TABLE ledger (
    trigger TEXT NOT NULL, due REAL NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    event INTEGER NOT NULL, PRIMARY KEY (trigger, due)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_due ON ledger (due);

CREATE TABLE outbox (key INTEGER PRIMARY KEY, run INTEGER NOT NULL, body BLOB NOT NULL, owes INTEGER NOT NULL) STRICT;
CREATE INDEX outbox_router ON outbox (key) WHERE owes & 1 <> 0;
CREATE INDEX outbox_bus ON outbox (key) WHERE owes & 2 <> 0;

CREATE TABLE state (
    scope TEXT NOT NULL, key TEXT NOT NULL, value BLOB, version INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX state_empty ON state (scope) WHERE value IS NULL;

CREATE TABLE blob (digest BLOB PRIMARY KEY, size INTEGER NOT NULL, named_at REAL NOT NULL, whole INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX blob_named ON blob (named_at);
CREATE TABLE blob_part (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, no INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (digest, no)) STRICT;

CREATE TABLE definition (
    digest BLOB PRIMARY KEY, workflow TEXT NOT NULL, version TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
CREATE TABLE workflow (
    workflow TEXT PRIMARY KEY, enabled INTEGER NOT NULL, removed INTEGER NOT NULL, pinned TEXT NOT NULL, origin TEXT NOT NULL
) STRICT;
CREATE TABLE rules (revision INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
