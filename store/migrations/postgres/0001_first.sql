-- The durable state of a deployment (docs/journal.md). Instants are Unix seconds, JSON is kept as bytes.
-- A process is a row of `node`, with a row of `lane` for each of its writers: both are its fence.

CREATE SEQUENCE node_id;
CREATE TABLE node (id bigint PRIMARY KEY, address text NOT NULL, expires timestamptz NOT NULL);
CREATE TABLE lane (
    node bigint NOT NULL REFERENCES node ON DELETE CASCADE, no integer NOT NULL, grp bigint NOT NULL, PRIMARY KEY (node, no)
) WITH (fillfactor = 50);

CREATE TABLE meta (k text PRIMARY KEY, v text NOT NULL);

CREATE TABLE run (
    id bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, workflow text NOT NULL, version text NOT NULL, digest bytea NOT NULL,
    state integer NOT NULL, input bytea NOT NULL, created_at double precision NOT NULL, event bigint NOT NULL DEFAULT 0,
    cause text NOT NULL DEFAULT '', correlation text NOT NULL DEFAULT '', hops integer NOT NULL DEFAULT 0,
    parent bigint NOT NULL DEFAULT 0, parent_ord bigint NOT NULL DEFAULT 0, depth integer NOT NULL DEFAULT 0,
    priority integer NOT NULL DEFAULT 5, actor text NOT NULL DEFAULT '', labels bytea NOT NULL DEFAULT '',
    traceparent text NOT NULL DEFAULT '', vars bytea NOT NULL DEFAULT '', flow bytea NOT NULL DEFAULT '', output bytea,
    error bytea, steps bytea, cancel bytea, metadata bytea NOT NULL DEFAULT '', recoveries integer NOT NULL DEFAULT 0,
    transitions bigint NOT NULL DEFAULT 1, gen integer NOT NULL DEFAULT 0, started_at double precision, ended_at double precision,
    node bigint, keyed integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE INDEX run_open ON run (node, id) WHERE state < 10;
CREATE INDEX run_held ON run (workflow) WHERE state < 2;
CREATE INDEX run_bad ON run (state, id) WHERE state > 10;
CREATE INDEX run_workflow ON run (workflow, id);
CREATE INDEX run_event ON run (event) WHERE event <> 0;
CREATE INDEX run_parent ON run (parent) WHERE parent <> 0;
CREATE INDEX run_correlation ON run (correlation) WHERE correlation <> '';

CREATE TABLE j (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run bigint NOT NULL, ord bigint NOT NULL, kind integer NOT NULL, body bytea NOT NULL,
    gen integer NOT NULL, name_hash bigint NOT NULL, UNIQUE (run, ord, kind, gen)
);

CREATE TABLE label (
    name text NOT NULL, value text NOT NULL, run bigint NOT NULL, PRIMARY KEY (name, value, run)
);
CREATE INDEX label_run ON label (run);

CREATE TABLE held (
    policy text NOT NULL, key text NOT NULL, rank double precision NOT NULL, run bigint NOT NULL, PRIMARY KEY (policy, key, rank, run)
);
CREATE INDEX held_run ON held (run);

CREATE TABLE flow (
    policy text NOT NULL, key text NOT NULL, state bytea, deadline double precision, PRIMARY KEY (policy, key)
);
CREATE INDEX flow_due ON flow (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX flow_empty ON flow (policy) WHERE state IS NULL;

CREATE TABLE cancel_key (
    binding text NOT NULL, key text NOT NULL, run bigint NOT NULL, open integer NOT NULL DEFAULT 1,
    PRIMARY KEY (binding, key, run)
);
CREATE INDEX cancel_key_run ON cancel_key (run);

CREATE TABLE event (
    key bigint PRIMARY KEY, source text NOT NULL, id text NOT NULL, type text NOT NULL, trigger text NOT NULL,
    at double precision NOT NULL, revision bigint NOT NULL, body bytea NOT NULL, correlation text NOT NULL, notes bytea
);
CREATE TABLE unmatched (
    key bigint PRIMARY KEY, source text NOT NULL, id text NOT NULL, type text NOT NULL, trigger text NOT NULL,
    at double precision NOT NULL, revision bigint NOT NULL, body bytea NOT NULL, correlation text NOT NULL, notes bytea
);
CREATE INDEX unmatched_id ON unmatched (id);

CREATE TABLE waited (
    pattern text NOT NULL, key text NOT NULL, event bigint NOT NULL, PRIMARY KEY (pattern, key, event)
);
CREATE INDEX waited_event ON waited (event);

CREATE TABLE dead_letter (
    key bigint PRIMARY KEY, at double precision NOT NULL, trigger text NOT NULL, source text NOT NULL, id text NOT NULL,
    code text NOT NULL, error bytea NOT NULL, raw bytea, event bigint NOT NULL, workflow text NOT NULL,
    entry integer NOT NULL, meta bytea NOT NULL, attempts integer NOT NULL, state text NOT NULL
);
CREATE INDEX dead_letter_state ON dead_letter (state, key);

CREATE TABLE mark (
    scope text NOT NULL, key text NOT NULL, value bytea, at double precision NOT NULL DEFAULT 0, PRIMARY KEY (scope, key)
);
CREATE INDEX mark_at ON mark (at) WHERE at > 0;
CREATE INDEX mark_empty ON mark (scope) WHERE value IS NULL;

CREATE TABLE ledger (
    trigger text NOT NULL, due double precision NOT NULL, outcome text NOT NULL, reason text NOT NULL, at double precision NOT NULL,
    event bigint NOT NULL, PRIMARY KEY (trigger, due)
);
CREATE INDEX ledger_due ON ledger (due);

CREATE TABLE outbox (key bigint PRIMARY KEY, run bigint NOT NULL, body bytea NOT NULL, owes integer NOT NULL);
CREATE INDEX outbox_router ON outbox (key) WHERE owes & 1 <> 0;
CREATE INDEX outbox_bus ON outbox (key) WHERE owes & 2 <> 0;

CREATE TABLE state (
    scope text NOT NULL, key text NOT NULL, value bytea, version bigint NOT NULL DEFAULT 0, PRIMARY KEY (scope, key)
);
CREATE INDEX state_empty ON state (scope) WHERE value IS NULL;

CREATE TABLE blob (digest bytea PRIMARY KEY, size bigint NOT NULL, named_at double precision NOT NULL, whole integer NOT NULL);
CREATE INDEX blob_named ON blob (named_at);
CREATE TABLE blob_part (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL, no integer NOT NULL, body bytea NOT NULL, UNIQUE (digest, no));

CREATE TABLE definition (
    digest bytea PRIMARY KEY, workflow text NOT NULL, version text NOT NULL, body bytea NOT NULL, at double precision NOT NULL,
    revision bigint NOT NULL
);
CREATE TABLE workflow (
    workflow text PRIMARY KEY, enabled integer NOT NULL, removed integer NOT NULL, pinned text NOT NULL, origin text NOT NULL
);
CREATE TABLE rules (revision bigint PRIMARY KEY, body bytea NOT NULL);
