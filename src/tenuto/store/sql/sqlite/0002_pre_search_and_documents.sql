-- What searches go through, and documents.
--
-- Rows of both indexes are written several times in the life of what they describe, within the commits
-- of the engine, so an index of these tables must earn what it costs. What never changes in a row is
-- left out of the statement that replaces it, and with it every index that consists of such columns
-- alone. Texts that may be long stand last: what comes before is read without them. The ids of an
-- execution, and the type of a task's workflow, are read from executions.

CREATE TABLE workflow_index (
    run INTEGER PRIMARY KEY,                 -- executions.id
    workflow_type TEXT NOT NULL,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    start_time INTEGER NOT NULL,
    end_time INTEGER,
    update_time INTEGER NOT NULL,
    correlation_id TEXT,
    parent_workflow_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    created_by TEXT,
    event TEXT,
    classifier TEXT NOT NULL,
    idempotency_key TEXT,
    details BLOB NOT NULL,                   -- msgpack: failed references, failed tasks, task to domain
    reason TEXT,
    input TEXT NOT NULL,
    output TEXT NOT NULL
);
-- Newest first is the order in which everybody looks at runs, and each of these three gives it without
-- sorting: of all runs, of one status (what runs, what failed), of one type.
CREATE INDEX workflow_index_by_start ON workflow_index (start_time);
CREATE INDEX workflow_index_by_status ON workflow_index (status, start_time);
CREATE INDEX workflow_index_by_type ON workflow_index (workflow_type, start_time);
-- Costs those who use correlation ids. A workflow id is found through executions_by_workflow.
CREATE INDEX workflow_index_by_correlation ON workflow_index (correlation_id) WHERE correlation_id IS NOT NULL;

-- Newest first is by id, which a task keeps.
CREATE TABLE task_index (
    id INTEGER PRIMARY KEY,
    task_id TEXT NOT NULL UNIQUE,
    run INTEGER NOT NULL,
    task_type TEXT NOT NULL,
    task_def_name TEXT NOT NULL,
    reference_name TEXT NOT NULL,
    status TEXT NOT NULL,
    scheduled_time INTEGER NOT NULL,
    start_time INTEGER,
    end_time INTEGER,
    update_time INTEGER NOT NULL,
    correlation_id TEXT,
    domain TEXT,
    priority INTEGER NOT NULL,
    reason TEXT,
    input TEXT NOT NULL,
    output TEXT NOT NULL
);
-- Serves the tasks of an execution, and the purge.
CREATE INDEX task_index_by_run ON task_index (run);
-- Serves what is asked of one type: which of its tasks failed, how many are in progress.
CREATE INDEX task_index_by_type ON task_index (task_type, status);

CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    workflow_id TEXT,                        -- the execution that it belongs to
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX documents_by_key ON documents (collection, key);
CREATE INDEX documents_by_workflow ON documents (workflow_id) WHERE workflow_id IS NOT NULL;
