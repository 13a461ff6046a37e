-- The first tables. A run has a small number of its own (executions.id), by which everything that
-- belongs to it is found: the text of a run id would make up half of a typical row.

-- The epoch of all partitions: a SQLite file has one owner, so they change hands together.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
);
INSERT INTO lease (id, epoch) VALUES (1, 0);

-- One row a run. Of two runs with the same workflow id, the one with the higher id is the later.
CREATE TABLE executions (
    id INTEGER PRIMARY KEY,
    partition INTEGER NOT NULL,
    workflow_id TEXT NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    first_run_id TEXT,                       -- NULL: the run itself
    workflow_type TEXT NOT NULL,
    task_queue TEXT NOT NULL,
    start_time INTEGER NOT NULL,
    parent_workflow_id TEXT,
    parent_run_id TEXT,
    memo BLOB NOT NULL,
    request_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    close_time INTEGER,
    wake_at INTEGER,
    problem TEXT,
    history_length INTEGER NOT NULL
);
CREATE INDEX executions_by_workflow ON executions (workflow_id);
CREATE INDEX executions_by_start ON executions (start_time);
-- Serves the purge (oldest close first) and the list of open runs (close_time IS NULL, by start).
CREATE INDEX executions_by_close ON executions (close_time, start_time);
CREATE INDEX executions_by_wake ON executions (wake_at, run_id) WHERE wake_at IS NOT NULL;
CREATE INDEX executions_stuck ON executions (start_time) WHERE problem IS NOT NULL;

-- The hot table: appended to, never changed. Rows lie in the order of their commits, so that a
-- commit of many runs fills a few pages at the end; clustered by run it would touch a page a run,
-- which was measured to cost 2 to 3 times as much. The index is scattered, but ten times smaller.
CREATE TABLE history (
    run INTEGER NOT NULL,
    first_event_id INTEGER NOT NULL,
    events BLOB NOT NULL
);
CREATE UNIQUE INDEX history_by_run ON history (run, first_event_id);

CREATE TABLE notes (
    run INTEGER NOT NULL,
    key INTEGER NOT NULL,
    note BLOB NOT NULL
);
CREATE UNIQUE INDEX notes_by_run ON notes (run, key);

-- Oldest first is by id.
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    task_queue TEXT NOT NULL,
    run INTEGER NOT NULL,
    key INTEGER NOT NULL
);
CREATE UNIQUE INDEX tasks_by_run ON tasks (run, key);
CREATE INDEX tasks_by_queue ON tasks (task_queue);

-- AUTOINCREMENT: an id is never used again, or a reader that asks for what came after the last
-- message it saw would miss one.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    partition INTEGER NOT NULL,
    data BLOB NOT NULL
);

CREATE TABLE answers (
    request_id TEXT NOT NULL UNIQUE,
    answer BLOB NOT NULL,
    recorded INTEGER NOT NULL
);
CREATE INDEX answers_by_time ON answers (recorded);
