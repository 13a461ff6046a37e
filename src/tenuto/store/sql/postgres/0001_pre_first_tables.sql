-- The first tables. {schema} stands for the schema of the deployment.
--
-- Every primary key begins with the partition and every statement of the engine names it, but for those of the
-- small tables that all members share: meta, migrations, members. What belongs to a run is keyed by run id.
--
-- Texts compare by their bytes (COLLATE "C"), which is the order of code points; they hold no NUL (texts.py).
-- Times are nanoseconds since the epoch; leases alone are measured with the server's clock, as timestamps.
--
-- closed_executions, history, workflow_index and task_index are cut into 16 slots by when the run started:
-- slot = (start_time / meta.era) % 16. What expires lies together and is emptied with TRUNCATE, which leaves
-- nothing to vacuum. The slots are made here, once, for a role that may create no tables must be enough later.

CREATE TABLE {schema}.meta (
    id smallint PRIMARY KEY CHECK (id = 0),
    oldest_code integer NOT NULL,            -- the lowest schema version whose code may use these tables
    partitions integer NOT NULL,
    era bigint NOT NULL CHECK (era > 0)      -- nanoseconds of starts that share a slot
);
INSERT INTO {schema}.meta (id, oldest_code, partitions, era) VALUES (0, 1, 256, 3 * 86400 * 1000000000::bigint);

-- Raised with what a commit expected and did not find; the whole statement is undone.
CREATE FUNCTION {schema}.refuse(reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = reason, ERRCODE = 'TN001';
END
$$;

-- The processes that take part. Every commit of a member asks for the revision that it knows of its row, and locks
-- the row meanwhile: whoever takes its partitions deletes the row first. A revision is never used again.
CREATE SEQUENCE {schema}.member_revisions;
CREATE TABLE {schema}.members (
    name text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL DEFAULT nextval('{schema}.member_revisions'),
    rank smallint NOT NULL,
    until timestamptz NOT NULL,
    renewed timestamptz NOT NULL,
    session bigint,                          -- key of the advisory lock that its connection holds; NULL: none
    session_started timestamptz,
    description text NOT NULL                -- for people
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE {schema}.partitions (
    partition smallint PRIMARY KEY,
    epoch bigint NOT NULL,
    member text COLLATE "C"                  -- NULL: free
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO {schema}.partitions (partition, epoch) SELECT number, 0 FROM generate_series(0, 255) AS number;

CREATE SEQUENCE {schema}.run_numbers;
CREATE SEQUENCE {schema}.task_numbers;
CREATE SEQUENCE {schema}.message_numbers;

-- Open runs. Of two runs with one workflow id, the one with the higher number is the later.
CREATE TABLE {schema}.executions (
    partition smallint NOT NULL,
    slot smallint NOT NULL,                  -- where its history lies, and its row once it has closed
    status smallint NOT NULL,
    number bigint NOT NULL DEFAULT nextval('{schema}.run_numbers'),
    start_time bigint NOT NULL,
    close_time bigint,                       -- as in closed_executions, whose row this becomes
    wake_at bigint,
    history_length bigint NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    first_run_id text COLLATE "C",           -- NULL: the run itself
    workflow_type text COLLATE "C" NOT NULL,
    task_queue text COLLATE "C" NOT NULL,
    parent_workflow_id text COLLATE "C",
    parent_run_id text COLLATE "C",
    request_id text COLLATE "C" NOT NULL,
    problem text COLLATE "C",
    memo bytea NOT NULL,
    PRIMARY KEY (partition, run_id)
) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05
);
CREATE INDEX executions_by_workflow ON {schema}.executions (workflow_id, number);
CREATE INDEX executions_by_start ON {schema}.executions (start_time, number);
CREATE INDEX executions_by_wake ON {schema}.executions (partition, wake_at, run_id) WHERE wake_at IS NOT NULL;
CREATE INDEX executions_stuck ON {schema}.executions (start_time, number) WHERE problem IS NOT NULL;

CREATE TABLE {schema}.closed_executions (
    partition smallint NOT NULL,
    slot smallint NOT NULL,
    status smallint NOT NULL,
    number bigint NOT NULL,
    start_time bigint NOT NULL,
    close_time bigint NOT NULL,
    wake_at bigint,
    history_length bigint NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    first_run_id text COLLATE "C",
    workflow_type text COLLATE "C" NOT NULL,
    task_queue text COLLATE "C" NOT NULL,
    parent_workflow_id text COLLATE "C",
    parent_run_id text COLLATE "C",
    request_id text COLLATE "C" NOT NULL,
    problem text COLLATE "C",
    memo bytea NOT NULL,
    PRIMARY KEY (partition, run_id, slot)
) PARTITION BY LIST (slot);
CREATE INDEX closed_executions_by_workflow ON {schema}.closed_executions (workflow_id, number);
CREATE INDEX closed_executions_by_start ON {schema}.closed_executions (start_time, number);
CREATE INDEX closed_executions_stuck ON {schema}.closed_executions (start_time, number) WHERE problem IS NOT NULL;
CREATE INDEX closed_executions_by_close ON {schema}.closed_executions (close_time);

-- The hot table: appended to, never changed.
CREATE TABLE {schema}.history (
    partition smallint NOT NULL,
    slot smallint NOT NULL,
    first_event_id bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (partition, run_id, slot, first_event_id)
) PARTITION BY LIST (slot);

CREATE TABLE {schema}.notes (
    partition smallint NOT NULL,
    key bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    note bytea NOT NULL,
    PRIMARY KEY (partition, run_id, key)
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- Tasks that wait for somebody to claim them, oldest first by id, and those that are claimed.
CREATE TABLE {schema}.tasks (
    partition smallint NOT NULL,
    kind smallint NOT NULL,
    key bigint NOT NULL,
    id bigint NOT NULL DEFAULT nextval('{schema}.task_numbers'),
    claimed_at bigint NOT NULL DEFAULT 0,
    run_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    task_queue text COLLATE "C" NOT NULL,
    claimed_by text COLLATE "C",             -- members.name; NULL: it waits
    stop text COLLATE "C",                   -- why whoever claimed it shall stop; NULL: it shall go on
    data bytea NOT NULL,
    PRIMARY KEY (partition, run_id, key)
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05
);
-- One range of it holds what a queue's workers can claim, whatever the partition: an empty queue costs one look.
CREATE INDEX tasks_waiting ON {schema}.tasks (task_queue, kind, partition, id) WHERE claimed_by IS NULL;
-- Entries of dead rows are passed over once a reader has seen that they are dead, but not those that share an item of
-- the index with a live one.
CREATE INDEX tasks_claimed ON {schema}.tasks (partition, claimed_by) WITH (deduplicate_items = off)
WHERE claimed_by IS NOT NULL;

CREATE TABLE {schema}.inbox (
    partition smallint NOT NULL,
    id bigint NOT NULL DEFAULT nextval('{schema}.message_numbers'),
    data bytea NOT NULL,
    PRIMARY KEY (partition, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- In the partition of the request id, so that whoever waits for an answer knows where to look.
CREATE TABLE {schema}.answers (
    partition smallint NOT NULL,
    recorded bigint NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    answer bytea NOT NULL,
    PRIMARY KEY (partition, request_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX answers_by_time ON {schema}.answers (recorded);

-- What searches go through. Rows are written several times in the life of what they describe, within the commits
-- of the engine, so an index of these tables must earn what it costs. `number` and the names never change.
CREATE TABLE {schema}.workflow_index (
    partition smallint NOT NULL,
    slot smallint NOT NULL,
    version bigint NOT NULL,
    priority bigint NOT NULL,
    number bigint NOT NULL DEFAULT nextval('{schema}.run_numbers'),
    start_time bigint NOT NULL,
    end_time bigint,
    update_time bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    workflow_type text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C",
    parent_workflow_id text COLLATE "C" NOT NULL,
    created_by text COLLATE "C",
    event text COLLATE "C",
    classifier text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    reason text COLLATE "C",
    details bytea NOT NULL,                  -- msgpack: failed references, failed tasks, task to domain
    input text COLLATE "C" NOT NULL,
    output text COLLATE "C" NOT NULL,
    PRIMARY KEY (partition, run_id, slot)
) PARTITION BY LIST (slot);
CREATE INDEX workflow_index_by_start ON {schema}.workflow_index (start_time, number);
CREATE INDEX workflow_index_by_status ON {schema}.workflow_index (status, start_time, number);
CREATE INDEX workflow_index_by_type ON {schema}.workflow_index (workflow_type, start_time, number);
CREATE INDEX workflow_index_by_workflow ON {schema}.workflow_index (workflow_id);
CREATE INDEX workflow_index_by_correlation ON {schema}.workflow_index (correlation_id)
WHERE correlation_id IS NOT NULL;
-- Every start with an idempotency key asks for it.
CREATE INDEX workflow_index_by_idempotency ON {schema}.workflow_index (idempotency_key)
WHERE idempotency_key IS NOT NULL;

CREATE TABLE {schema}.task_index (
    partition smallint NOT NULL,
    slot smallint NOT NULL,
    priority bigint NOT NULL,
    number bigint NOT NULL DEFAULT nextval('{schema}.task_numbers'),
    scheduled_time bigint NOT NULL,
    start_time bigint,
    end_time bigint,
    update_time bigint NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    workflow_type text COLLATE "C" NOT NULL,
    task_type text COLLATE "C" NOT NULL,
    task_def_name text COLLATE "C" NOT NULL,
    reference_name text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C",
    domain text COLLATE "C",
    reason text COLLATE "C",
    input text COLLATE "C" NOT NULL,
    output text COLLATE "C" NOT NULL,
    PRIMARY KEY (partition, run_id, task_id, slot)
) PARTITION BY LIST (slot);
CREATE INDEX task_index_by_task ON {schema}.task_index (task_id);
CREATE INDEX task_index_by_number ON {schema}.task_index (number);
CREATE INDEX task_index_by_workflow ON {schema}.task_index (workflow_id);
CREATE INDEX task_index_by_type ON {schema}.task_index (task_type, status);

-- A collection lies in one partition, that of its name.
CREATE TABLE {schema}.documents (
    partition smallint NOT NULL,
    revision bigint NOT NULL,
    updated bigint NOT NULL,
    collection text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C",            -- the execution that it belongs to
    data bytea NOT NULL,
    PRIMARY KEY (partition, collection, key)
) WITH (fillfactor = 80);
CREATE INDEX documents_by_workflow ON {schema}.documents (workflow_id) WHERE workflow_id IS NOT NULL;

DO $$
BEGIN
    FOR slot IN 0..15 LOOP
        EXECUTE 'CREATE TABLE {schema}.closed_executions_' || slot
            || ' PARTITION OF {schema}.closed_executions FOR VALUES IN (' || slot || ')';
        EXECUTE 'CREATE TABLE {schema}.history_' || slot
            || ' PARTITION OF {schema}.history FOR VALUES IN (' || slot || ')'
            || ' WITH (autovacuum_vacuum_insert_scale_factor = 0.5)';
        EXECUTE 'CREATE TABLE {schema}.workflow_index_' || slot
            || ' PARTITION OF {schema}.workflow_index FOR VALUES IN (' || slot || ')'
            || ' WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)';
        EXECUTE 'CREATE TABLE {schema}.task_index_' || slot
            || ' PARTITION OF {schema}.task_index FOR VALUES IN (' || slot || ')'
            || ' WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)';
    END LOOP;
END
$$;
