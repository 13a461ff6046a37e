-- Every statement of the SQLite store, by name. How the names and the two notations below are read:
-- statements.py.
--
--   FROM (VALUES (?, ?)) AS v    stands for as many rows as the caller has. The last of them may be
--                                all -1, put there to fill up; each statement passes over those.
--                                What may be NULL comes as -1 too (why: statements.py).
--   {matches}                    the fragment of that name.
--
-- What a commit writes names runs by run id; `CROSS JOIN` keeps SQLite to one lookup in executions
-- for each row of v, and the order of the rows.

-- name: begin
-- Takes the write lock at once: a transaction that began by reading could not wait for it later.
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: current_epoch
SELECT epoch FROM lease WHERE id = 1;

-- name: next_epoch
UPDATE lease SET epoch = epoch + 1 WHERE id = 1;

-- name: insert_executions
INSERT INTO executions (
    partition, workflow_id, run_id, first_run_id, workflow_type, task_queue, start_time,
    parent_workflow_id, parent_run_id, memo, request_id, status, close_time, wake_at, problem,
    history_length
)
SELECT
    column1, column2, column3, nullif(column4, -1), column5, column6, column7,
    nullif(column8, -1), nullif(column9, -1), column10, column11, column12, nullif(column13, -1),
    nullif(column14, -1), nullif(column15, -1), column16
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v
WHERE column1 <> -1;

-- name: update_executions
UPDATE executions
SET status = column2, close_time = nullif(column3, -1), wake_at = nullif(column4, -1),
    problem = nullif(column5, -1), history_length = column6
FROM (VALUES (?, ?, ?, ?, ?, ?)) AS v
WHERE executions.run_id = column1 AND column1 <> -1;

-- name: insert_history
-- LEFT JOIN, so that events of an unknown run fail on NOT NULL, where a plain join would lose them.
INSERT INTO history (run, first_event_id, events)
SELECT e.id, column2, column3
FROM (VALUES (?, ?, ?)) AS v LEFT JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1;

-- name: insert_history_fenced
-- The whole of a commit that only adds events, in one statement: it is a transaction by itself and
-- writes nothing when the epoch, its last parameter, is no longer current.
INSERT INTO history (run, first_event_id, events)
SELECT e.id, column2, column3
FROM (VALUES (?, ?, ?)) AS v LEFT JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1 AND (SELECT epoch FROM lease WHERE id = 1) = ?;

-- name: upsert_notes
INSERT INTO notes (run, key, note)
SELECT e.id, column2, column3
FROM (VALUES (?, ?, ?)) AS v LEFT JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1
ON CONFLICT (run, key) DO UPDATE SET note = excluded.note;

-- name: delete_notes
DELETE FROM notes WHERE rowid IN (
    SELECT n.rowid
    FROM (VALUES (?, ?)) AS v
    CROSS JOIN executions AS e ON e.run_id = column1
    CROSS JOIN notes AS n ON n.run = e.id AND n.key = column2
    WHERE column1 <> -1
);

-- name: insert_tasks
-- A task that waits already keeps its place.
INSERT INTO tasks (task_queue, run, key)
SELECT column2, e.id, column3
FROM (VALUES (?, ?, ?)) AS v LEFT JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1
ON CONFLICT (run, key) DO NOTHING;

-- name: delete_tasks
DELETE FROM tasks WHERE id IN (
    SELECT t.id
    FROM (VALUES (?, ?)) AS v
    CROSS JOIN executions AS e ON e.run_id = column1
    CROSS JOIN tasks AS t ON t.run = e.id AND t.key = column2
    WHERE column1 <> -1
);

-- name: insert_inbox
INSERT INTO inbox (partition, data)
SELECT column1, column2
FROM (VALUES (?, ?)) AS v
WHERE column1 <> -1;

-- name: delete_inbox
DELETE FROM inbox WHERE id IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: upsert_answers
INSERT INTO answers (request_id, answer, recorded)
SELECT column1, column2, column3
FROM (VALUES (?, ?, ?)) AS v
WHERE column1 <> -1
ON CONFLICT (request_id) DO UPDATE SET answer = excluded.answer, recorded = excluded.recorded;

-- name: upsert_workflow_index
-- A row of an unknown run fails: a text is no run, where NULL would become a new one.
INSERT INTO workflow_index (
    run, workflow_type, version, status, start_time, end_time, update_time, correlation_id,
    parent_workflow_id, priority, created_by, event, classifier, idempotency_key, details, reason,
    input, output
)
SELECT
    ifnull(e.id, 'unknown'), column2, column3, column4, column5, nullif(column6, -1), column7,
    nullif(column8, -1), column9, column10, nullif(column11, -1), nullif(column12, -1), column13,
    nullif(column14, -1), column15, nullif(column16, -1), column17, column18
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v
LEFT JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1
ON CONFLICT (run) DO UPDATE SET
    version = excluded.version, status = excluded.status, start_time = excluded.start_time,
    end_time = excluded.end_time, update_time = excluded.update_time,
    correlation_id = excluded.correlation_id, parent_workflow_id = excluded.parent_workflow_id,
    priority = excluded.priority, created_by = excluded.created_by, event = excluded.event,
    classifier = excluded.classifier, idempotency_key = excluded.idempotency_key,
    details = excluded.details, reason = excluded.reason, input = excluded.input,
    output = excluded.output;

-- name: upsert_task_index
INSERT INTO task_index (
    task_id, run, task_type, task_def_name, reference_name, status, scheduled_time, start_time,
    end_time, update_time, correlation_id, domain, priority, reason, input, output
)
SELECT
    column1, e.id, column3, column4, column5, column6, column7, nullif(column8, -1),
    nullif(column9, -1), column10, nullif(column11, -1), nullif(column12, -1), column13,
    nullif(column14, -1), column15, column16
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS v
LEFT JOIN executions AS e ON e.run_id = column2
WHERE column1 <> -1
ON CONFLICT (task_id) DO UPDATE SET
    status = excluded.status, scheduled_time = excluded.scheduled_time,
    start_time = excluded.start_time, end_time = excluded.end_time,
    update_time = excluded.update_time, correlation_id = excluded.correlation_id,
    domain = excluded.domain, priority = excluded.priority, reason = excluded.reason,
    input = excluded.input, output = excluded.output;

-- name: delete_task_index
DELETE FROM task_index WHERE task_id IN (SELECT column1 FROM (VALUES (?)) AS v WHERE column1 <> -1);

-- name: upsert_documents
INSERT INTO documents (collection, key, revision, updated, workflow_id, data)
SELECT column1, column2, 1, column3, nullif(column4, ''), column5
FROM (VALUES (?, ?, ?, ?, ?)) AS v
WHERE column1 <> -1
ON CONFLICT (collection, key) DO UPDATE SET
    revision = revision + 1, updated = excluded.updated, workflow_id = excluded.workflow_id,
    data = excluded.data;

-- name: delete_documents
DELETE FROM documents WHERE id IN (
    SELECT d.id
    FROM (VALUES (?, ?)) AS v CROSS JOIN documents AS d ON d.collection = column1 AND d.key = column2
    WHERE column1 <> -1
);

-- name: document_revision
SELECT revision FROM documents WHERE collection = ? AND key = ?;

-- name: document
SELECT collection, key, data, revision, updated, ifnull(workflow_id, '')
FROM documents WHERE collection = ? AND key = ?;

-- name: documents
-- `behind` is a BLOB where no key lies behind the prefix: every text is less than that.
SELECT collection, key, data, revision, updated, ifnull(workflow_id, '')
FROM documents
WHERE collection = :collection AND key >= :from AND key < :behind
ORDER BY key
LIMIT :limit;

-- name: count_documents
SELECT count(*) FROM documents WHERE collection = :collection AND key >= :from AND key < :behind;

-- name: executions_by_run
SELECT
    e.id, e.partition, e.workflow_id, e.run_id, e.first_run_id, e.workflow_type, e.task_queue,
    e.start_time, e.parent_workflow_id, e.parent_run_id, e.memo, e.request_id, e.status, e.close_time,
    e.wake_at, e.problem, e.history_length
FROM (VALUES (?)) AS v CROSS JOIN executions AS e ON e.run_id = column1;

-- name: executions_by_workflow
-- The latest run of each workflow id.
SELECT
    e.id, e.partition, e.workflow_id, e.run_id, e.first_run_id, e.workflow_type, e.task_queue,
    e.start_time, e.parent_workflow_id, e.parent_run_id, e.memo, e.request_id, e.status, e.close_time,
    e.wake_at, e.problem, e.history_length
FROM (VALUES (?)) AS v CROSS JOIN executions AS e ON e.id = (
    SELECT latest.id FROM executions AS latest
    WHERE latest.workflow_id = column1 ORDER BY latest.id DESC LIMIT 1
);

-- name: history_of
SELECT h.run, h.events
FROM (VALUES (?)) AS v CROSS JOIN history AS h ON h.run = column1
ORDER BY h.run, h.first_event_id;

-- name: history_size_of
SELECT h.run, sum(length(h.events))
FROM (VALUES (?)) AS v CROSS JOIN history AS h ON h.run = column1
GROUP BY h.run;

-- name: notes_of
SELECT n.run, n.key, n.note
FROM (VALUES (?)) AS v CROSS JOIN notes AS n ON n.run = column1;

-- name: indexed_workflows
SELECT
    w.run, e.partition, e.workflow_id, e.run_id, w.workflow_type, w.version, w.status, w.start_time,
    w.end_time, w.update_time, w.correlation_id, w.parent_workflow_id, w.priority, w.created_by,
    w.event, w.classifier, w.idempotency_key, w.details, w.reason, w.input, w.output
FROM (VALUES (?)) AS v
CROSS JOIN workflow_index AS w ON w.run = column1
CROSS JOIN executions AS e ON e.id = w.run;

-- fragment: task_index_columns
t.id, e.partition, t.task_id, e.workflow_id, e.run_id, e.workflow_type, t.task_type,
t.task_def_name, t.reference_name, t.status, t.scheduled_time, t.start_time, t.end_time,
t.update_time, t.correlation_id, t.domain, t.priority, t.reason, t.input, t.output

-- name: indexed_tasks
SELECT {task_index_columns}
FROM (VALUES (?)) AS v
CROSS JOIN task_index AS t ON t.id = column1
CROSS JOIN executions AS e ON e.id = t.run;

-- name: indexed_tasks_by_task_id
SELECT {task_index_columns}
FROM (VALUES (?)) AS v
CROSS JOIN task_index AS t ON t.task_id = column1
CROSS JOIN executions AS e ON e.id = t.run
WHERE column1 <> -1;

-- name: due
SELECT workflow_id, run_id, wake_at
FROM executions INDEXED BY executions_by_wake
WHERE wake_at IS NOT NULL AND wake_at < :before AND (wake_at, run_id) > (:wake_at, :run_id)
  AND (:every_partition OR partition IN (SELECT value FROM json_each(:partitions)))
ORDER BY wake_at, run_id
LIMIT :limit;

-- name: receive
SELECT id, partition, data
FROM inbox
WHERE id NOT IN (SELECT value FROM json_each(:known))
  AND (:every_partition OR partition IN (SELECT value FROM json_each(:partitions)))
ORDER BY id
LIMIT :limit;

-- name: answers
SELECT request_id, answer FROM (VALUES (?)) AS v CROSS JOIN answers ON request_id = column1;

-- name: waiting_tasks
SELECT e.partition, t.task_queue, e.workflow_id, e.run_id, t.key
FROM tasks AS t INDEXED BY tasks_by_queue CROSS JOIN executions AS e ON e.id = t.run
WHERE t.task_queue = :task_queue
  AND (:every_partition OR e.partition IN (SELECT value FROM json_each(:partitions)))
ORDER BY t.id
LIMIT :limit;

-- fragment: columns
partition, workflow_id, run_id, first_run_id, workflow_type, task_queue, start_time,
parent_workflow_id, parent_run_id, memo, request_id, status, close_time, wake_at, problem,
history_length

-- fragment: matches
-- What a filter asks for, beside what the statement's index serves. NULL means any.
start_time > :started_after AND start_time < :started_before
AND (:types IS NULL OR workflow_type IN (SELECT value FROM json_each(:types)))
AND (:statuses IS NULL OR status IN (SELECT value FROM json_each(:statuses)))
AND (:task_queue IS NULL OR task_queue = :task_queue)
AND (:stuck IS NULL OR (problem IS NOT NULL) = :stuck)
AND (:closed_after IS NULL OR close_time > :closed_after)
AND (:closed_before IS NULL OR close_time < :closed_before)
AND (:parent IS NULL OR parent_workflow_id = :parent)

-- name: find
SELECT {columns} FROM executions INDEXED BY executions_by_start
WHERE {matches}
ORDER BY start_time DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: find_open
SELECT {columns} FROM executions INDEXED BY executions_by_close
WHERE close_time IS NULL AND {matches}
ORDER BY start_time DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: find_stuck
SELECT {columns} FROM executions INDEXED BY executions_stuck
WHERE problem IS NOT NULL AND {matches}
ORDER BY start_time DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: find_workflow
-- Also for a prefix of workflow ids, which is a range of them.
SELECT {columns} FROM executions INDEXED BY executions_by_workflow
WHERE workflow_id >= :first_workflow AND workflow_id < :behind_workflow AND {matches}
ORDER BY start_time DESC, id DESC LIMIT :limit OFFSET :offset;

-- name: count
SELECT status, count(*) FROM executions
WHERE {matches}
GROUP BY status;

-- name: count_open
SELECT status, count(*) FROM executions INDEXED BY executions_by_close
WHERE close_time IS NULL AND {matches}
GROUP BY status;

-- name: count_stuck
SELECT status, count(*) FROM executions INDEXED BY executions_stuck
WHERE problem IS NOT NULL AND {matches}
GROUP BY status;

-- name: count_workflow
SELECT status, count(*) FROM executions INDEXED BY executions_by_workflow
WHERE workflow_id >= :first_workflow AND workflow_id < :behind_workflow AND {matches}
GROUP BY status;

-- name: closed_runs
SELECT id, workflow_id FROM executions INDEXED BY executions_by_close
WHERE close_time < :closed_before
ORDER BY close_time
LIMIT :limit;

-- name: runs_to_remove
SELECT e.id, e.workflow_id
FROM (VALUES (?)) AS v CROSS JOIN executions AS e ON e.run_id = column1
WHERE column1 <> -1;

-- name: purge_history
DELETE FROM history WHERE run IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_notes
DELETE FROM notes WHERE run IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_tasks
DELETE FROM tasks WHERE run IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_executions
DELETE FROM executions WHERE id IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_workflow_index
DELETE FROM workflow_index WHERE run IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_task_index
DELETE FROM task_index WHERE run IN (SELECT column1 FROM (VALUES (?)) AS v);

-- name: purge_documents
-- Those of executions that are gone with their last run.
DELETE FROM documents WHERE workflow_id IN (
    SELECT column1 FROM (VALUES (?)) AS v
    WHERE column1 <> -1 AND NOT EXISTS (SELECT 1 FROM executions WHERE executions.workflow_id = column1)
);

-- name: purge_answers
DELETE FROM answers WHERE recorded < ?;
