-- Tables as they are after years of work, for test_postgres_plans.py: run number i of 120,000 started 33 s before
-- number i - 1, a quarter of them is open, and what queues have been through lies about as dead rows.
--
-- {schema} is a schema that has just been migrated; its table `runs` holds the number, partition, workflow id and run
-- id of each run, and when and in which slot it started.

-- name: executions
INSERT INTO {schema}.executions (
    partition, slot, status, number, start_time, wake_at, history_length, workflow_id, run_id, workflow_type,
    task_queue, request_id, problem, memo
)
SELECT
    partition, slot, 1, 1000000 - i, start_time, CASE WHEN i % 4 <> 0 THEN 1800000000000000000 + i * 1000000000 END, 0,
    workflow_id, run_id, 'type-' || i % 50, 'queue-' || i % 50, '', CASE WHEN i % 1000 = 0 THEN 'stuck' END, ''
FROM {schema}.runs WHERE i < 30000;
UPDATE {schema}.executions SET wake_at = wake_at + 1 WHERE wake_at IS NOT NULL;
INSERT INTO {schema}.notes (partition, key, run_id, note)
SELECT partition, i % 3, run_id, '\x00' FROM {schema}.runs WHERE i < 30000;
UPDATE {schema}.notes SET note = '\x01';

-- name: closed_executions
INSERT INTO {schema}.closed_executions (
    partition, slot, status, number, start_time, close_time, history_length, workflow_id, run_id, workflow_type,
    task_queue, request_id, memo
)
SELECT
    partition, slot, 2, 1000000 - i, start_time, start_time + 5, 10, workflow_id, run_id, 'type-' || i % 50,
    'queue-' || i % 50, '', ''
FROM {schema}.runs WHERE i >= 30000;

-- name: history
INSERT INTO {schema}.history (partition, slot, first_event_id, run_id, events)
SELECT partition, slot, n * 5 + 1, run_id, '\x{events}'
FROM {schema}.runs, generate_series(0, 1) AS n;

-- name: workflow_index
INSERT INTO {schema}.workflow_index (
    partition, slot, version, priority, number, start_time, end_time, update_time, run_id, workflow_id, workflow_type,
    status, correlation_id, parent_workflow_id, classifier, idempotency_key, details, input, output
)
SELECT
    partition, slot, 1, 0, 1000000 - i, start_time, CASE WHEN i >= 30000 THEN start_time + 5 END, start_time, run_id,
    workflow_id, 'type-' || i % 50,
    CASE WHEN i < 30000 THEN 'RUNNING' WHEN i % 100 = 0 THEN 'FAILED' ELSE 'COMPLETED' END,
    CASE WHEN i % 2 = 0 THEN 'order-' || i END, '', 'workflow', CASE WHEN i % 3 = 0 THEN 'key-' || i END, '\x93909080',
    '{}', '{}'
FROM {schema}.runs;

-- name: task_index
INSERT INTO {schema}.task_index (
    partition, slot, priority, number, scheduled_time, update_time, task_id, run_id, workflow_id, workflow_type,
    task_type, task_def_name, reference_name, status, input, output
)
SELECT
    partition, slot, 0, 2000000 - i * 2 + n, start_time, start_time, 'task-' || n || '-of-' || run_id, run_id,
    workflow_id, 'type-' || i % 50, 'task-' || i % 50, 'task', 'ref',
    CASE WHEN i < 2000 THEN 'SCHEDULED' ELSE 'COMPLETED' END, '{}', '{}'
FROM {schema}.runs, generate_series(0, 1) AS n;

-- name: tasks
-- Two in three are done, and 2,000 of those that are left are being worked on.
INSERT INTO {schema}.tasks (partition, kind, key, id, run_id, workflow_id, task_queue, data)
SELECT partition, 1, n, n * 30000 + i, run_id, workflow_id, 'queue-' || i % 50, ''
FROM {schema}.runs, generate_series(0, 9) AS n
WHERE i < 30000
ORDER BY n, i;
UPDATE {schema}.tasks SET claimed_by = 'member-' || id % 5, claimed_at = id WHERE id < 202000;
DELETE FROM {schema}.tasks WHERE id < 200000;
INSERT INTO {schema}.members (name, rank, until, renewed, description)
SELECT 'member-' || i, 0, now() + interval '1 day', now(), '' FROM generate_series(0, 4) AS i;

-- name: inbox
INSERT INTO {schema}.inbox (partition, id, data)
SELECT i % 256, i, '\x0011223344' FROM generate_series(0::bigint, 299999) AS i;
DELETE FROM {schema}.inbox WHERE id < 299000;
INSERT INTO {schema}.answers (partition, recorded, request_id, answer)
SELECT partition, i, workflow_id, '' FROM {schema}.runs WHERE i < 30000;
INSERT INTO {schema}.documents (partition, revision, updated, collection, key, workflow_id, data)
SELECT
    c.partition, 1, r.i, c.workflow_id, 'key-' || r.i, CASE WHEN r.i % 10 = 0 THEN r.workflow_id END, ''
FROM {schema}.runs AS r JOIN {schema}.runs AS c ON c.i = r.i % 20
WHERE r.i < 60000;
