-- Every statement of the PostgreSQL store, by name, but for those of searches (search.sql). How the names and the
-- notations below are read: tenuto/store/postgres/statements.py.
--
--   :name       a parameter. Rows come as arrays, one a column.
--   {schema}    the schema of the deployment, quoted.
--   {columns}   the fragment of that name.
--
-- Partitions are always named: it is what the tables are keyed by. Statements are planned once for all parameters,
-- as nested loops through the indexes that the comments name; test_postgres_plans.py holds them to that. Joins say
-- `partition = ANY (ARRAY[v.partition])` where `partition = v.partition` is meant, of the first column of the index:
-- that can be looked up but merges with nothing, so a plan that was made while the table was empty can't be to read
-- the whole of it.

-- == A commit: parts, of which those that it needs become one statement (commit.py) ==========================
--
-- Each part is a common table expression and does nothing unless `fence` has a row. All parts see the same
-- snapshot, the one from before: what one of them writes, no other reads, but for what it RETURNs.

-- name: fence
-- Waits for, and then fails, if somebody takes this member's partitions just now: deleting its row.
SELECT true AS ok FROM {schema}.members WHERE name = :member AND revision = :revision FOR SHARE;

-- name: no_fence
SELECT true AS ok;

-- name: insert_executions
INSERT INTO {schema}.executions (
    partition, slot, status, start_time, wake_at, history_length, workflow_id, run_id, first_run_id, workflow_type,
    task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
)
SELECT
    partition, slot, status, start_time, wake_at, history_length, workflow_id, run_id, first_run_id, workflow_type,
    task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
FROM unnest(
    :s_partition::smallint[], :s_slot::smallint[], :s_status::smallint[], :s_start_time::bigint[],
    :s_wake_at::bigint[], :s_history_length::bigint[], :s_workflow_id::text[], :s_run_id::text[],
    :s_first_run_id::text[], :s_workflow_type::text[], :s_task_queue::text[], :s_parent_workflow_id::text[],
    :s_parent_run_id::text[], :s_request_id::text[], :s_problem::text[], :s_memo::bytea[]
) WITH ORDINALITY AS v (
    partition, slot, status, start_time, wake_at, history_length, workflow_id, run_id, first_run_id, workflow_type,
    task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo, place
)
WHERE (SELECT ok FROM fence)
ORDER BY place;

-- name: insert_closed_executions
-- Runs that start and close within one commit.
INSERT INTO {schema}.closed_executions (
    partition, slot, status, number, start_time, close_time, wake_at, history_length, workflow_id, run_id,
    first_run_id, workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
)
SELECT
    partition, slot, status, nextval('{schema}.run_numbers'), start_time, close_time, wake_at, history_length,
    workflow_id, run_id, first_run_id, workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id,
    problem, memo
FROM unnest(
    :z_partition::smallint[], :z_slot::smallint[], :z_status::smallint[], :z_start_time::bigint[],
    :z_close_time::bigint[], :z_wake_at::bigint[], :z_history_length::bigint[], :z_workflow_id::text[],
    :z_run_id::text[], :z_first_run_id::text[], :z_workflow_type::text[], :z_task_queue::text[],
    :z_parent_workflow_id::text[], :z_parent_run_id::text[], :z_request_id::text[], :z_problem::text[],
    :z_memo::bytea[]
) WITH ORDINALITY AS v (
    partition, slot, status, start_time, close_time, wake_at, history_length, workflow_id, run_id, first_run_id,
    workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo, place
)
WHERE (SELECT ok FROM fence)
ORDER BY place;

-- fragment: opened
-- The new values of runs that are open after the commit.
unnest(
    :u_partition::smallint[], :u_run_id::text[], :u_status::smallint[], :u_wake_at::bigint[], :u_problem::text[],
    :u_history_length::bigint[]
) AS v (partition, run_id, status, wake_at, problem, history_length)

-- fragment: closed
-- The new values of runs that are closed after the commit.
unnest(
    :c_partition::smallint[], :c_run_id::text[], :c_status::smallint[], :c_close_time::bigint[],
    :c_wake_at::bigint[], :c_problem::text[], :c_history_length::bigint[]
) AS v (partition, run_id, status, close_time, wake_at, problem, history_length)

-- name: update_executions
UPDATE {schema}.executions AS e
SET status = v.status, wake_at = v.wake_at, problem = v.problem, history_length = v.history_length
FROM {opened}
WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id AND (SELECT ok FROM fence)
RETURNING 1;

-- name: delete_closing
DELETE FROM {schema}.executions AS e
USING {closed}
WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id AND (SELECT ok FROM fence)
RETURNING
    e.partition, e.slot, v.status, e.number, e.start_time, v.close_time, v.wake_at, v.history_length, e.workflow_id,
    e.run_id, e.first_run_id, e.workflow_type, e.task_queue, e.parent_workflow_id, e.parent_run_id, e.request_id,
    v.problem, e.memo;

-- name: insert_closing
INSERT INTO {schema}.closed_executions (
    partition, slot, status, number, start_time, close_time, wake_at, history_length, workflow_id, run_id,
    first_run_id, workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
)
SELECT
    partition, slot, status, number, start_time, close_time, wake_at, history_length, workflow_id, run_id,
    first_run_id, workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
FROM delete_closing;

-- name: delete_reopened
DELETE FROM {schema}.closed_executions AS e
USING {opened}
WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id AND (SELECT ok FROM fence)
RETURNING
    e.partition, e.slot, v.status, e.number, e.start_time, v.wake_at, v.history_length, e.workflow_id, e.run_id,
    e.first_run_id, e.workflow_type, e.task_queue, e.parent_workflow_id, e.parent_run_id, e.request_id, v.problem,
    e.memo;

-- name: insert_reopened
INSERT INTO {schema}.executions (
    partition, slot, status, number, start_time, wake_at, history_length, workflow_id, run_id, first_run_id,
    workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
)
SELECT
    partition, slot, status, number, start_time, wake_at, history_length, workflow_id, run_id, first_run_id,
    workflow_type, task_queue, parent_workflow_id, parent_run_id, request_id, problem, memo
FROM delete_reopened;

-- name: update_closed_executions
UPDATE {schema}.closed_executions AS e
SET status = v.status, close_time = v.close_time, wake_at = v.wake_at, problem = v.problem,
    history_length = v.history_length
FROM {closed}
WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id AND (SELECT ok FROM fence);

-- name: insert_history
INSERT INTO {schema}.history (partition, slot, first_event_id, run_id, events)
SELECT *
FROM unnest(
    :h_partition::smallint[], :h_slot::smallint[], :h_first_event_id::bigint[], :h_run_id::text[], :h_events::bytea[]
)
WHERE (SELECT ok FROM fence);

-- name: upsert_notes
INSERT INTO {schema}.notes (partition, key, run_id, note)
SELECT * FROM unnest(:n_partition::smallint[], :n_key::bigint[], :n_run_id::text[], :n_note::bytea[])
WHERE (SELECT ok FROM fence)
ON CONFLICT (partition, run_id, key) DO UPDATE SET note = excluded.note;

-- name: delete_notes
DELETE FROM {schema}.notes AS n
USING unnest(:m_partition::smallint[], :m_key::bigint[], :m_run_id::text[]) AS v (partition, key, run_id)
WHERE n.partition = ANY (ARRAY[v.partition]) AND n.run_id = v.run_id AND n.key = v.key AND (SELECT ok FROM fence);

-- name: insert_tasks
-- A task that waits already keeps its place.
INSERT INTO {schema}.tasks (
    partition, kind, key, claimed_at, run_id, workflow_id, task_queue, claimed_by, stop, data
)
SELECT partition, kind, key, claimed_at, run_id, workflow_id, task_queue, claimed_by, stop, data
FROM unnest(
    :t_partition::smallint[], :t_kind::smallint[], :t_key::bigint[], :t_claimed_at::bigint[], :t_run_id::text[],
    :t_workflow_id::text[], :t_task_queue::text[], :t_claimed_by::text[], :t_stop::text[], :t_data::bytea[]
) WITH ORDINALITY AS v (
    partition, kind, key, claimed_at, run_id, workflow_id, task_queue, claimed_by, stop, data, place
)
WHERE (SELECT ok FROM fence)
ORDER BY place
ON CONFLICT (partition, run_id, key) DO NOTHING;

-- name: stop_tasks
UPDATE {schema}.tasks AS t SET stop = v.stop
FROM unnest(:x_partition::smallint[], :x_key::bigint[], :x_run_id::text[], :x_stop::text[])
    AS v (partition, key, run_id, stop)
WHERE t.partition = ANY (ARRAY[v.partition]) AND t.run_id = v.run_id AND t.key = v.key AND (SELECT ok FROM fence);

-- name: delete_tasks
DELETE FROM {schema}.tasks AS t
USING unnest(:d_partition::smallint[], :d_key::bigint[], :d_run_id::text[]) AS v (partition, key, run_id)
WHERE t.partition = ANY (ARRAY[v.partition]) AND t.run_id = v.run_id AND t.key = v.key AND (SELECT ok FROM fence);

-- name: insert_inbox
INSERT INTO {schema}.inbox (partition, data)
SELECT partition, data
FROM unnest(:i_partition::smallint[], :i_data::bytea[]) WITH ORDINALITY AS v (partition, data, place)
WHERE (SELECT ok FROM fence)
ORDER BY place;

-- name: delete_inbox
DELETE FROM {schema}.inbox AS i
USING unnest(:r_partition::smallint[], :r_id::bigint[]) AS v (partition, id)
WHERE i.partition = ANY (ARRAY[v.partition]) AND i.id = v.id AND (SELECT ok FROM fence);

-- name: upsert_answers
INSERT INTO {schema}.answers (partition, recorded, request_id, answer)
SELECT * FROM unnest(:a_partition::smallint[], :a_recorded::bigint[], :a_request_id::text[], :a_answer::bytea[])
WHERE (SELECT ok FROM fence)
ON CONFLICT (partition, request_id) DO UPDATE SET answer = excluded.answer, recorded = excluded.recorded;

-- name: known_open
-- Of the runs that rows of this commit belong to, those that are open.
SELECT k.run_id
FROM unnest(:k_partition::smallint[], :k_run_id::text[]) AS k (partition, run_id)
JOIN {schema}.executions AS e ON e.partition = ANY (ARRAY[k.partition]) AND e.run_id = k.run_id;

-- name: known
-- As known_open, of all runs.
SELECT k.run_id
FROM unnest(:k_partition::smallint[], :k_run_id::text[]) AS k (partition, run_id)
WHERE EXISTS (
    SELECT FROM {schema}.executions AS e WHERE e.partition = ANY (ARRAY[k.partition]) AND e.run_id = k.run_id
    UNION ALL
    SELECT FROM {schema}.closed_executions AS e WHERE e.partition = ANY (ARRAY[k.partition]) AND e.run_id = k.run_id
);

-- name: as_expected
(SELECT count(*) FROM {part}) = :{part}_expected

-- name: verdict
-- Was the fence passed? Nothing is written if the parts that count didn't find all that they should.
SELECT
    coalesce((SELECT ok FROM fence), false) AS ok,
    CASE
        WHEN (SELECT ok FROM fence) AND NOT ({as_expected})
        THEN {schema}.refuse('a run of this commit is not known, or not as it should be')
    END;

-- name: forget_runs
-- Runs with all that belongs to them; a document belongs to the last run of its workflow id.
WITH asked AS (
    SELECT * FROM unnest(:partition::smallint[], :run_id::text[]) AS v (partition, run_id)
), gone AS MATERIALIZED (
    DELETE FROM {schema}.executions AS e USING asked AS v
    WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id
    RETURNING e.partition, e.run_id, e.slot, e.workflow_id
), gone_closed AS MATERIALIZED (
    DELETE FROM {schema}.closed_executions AS e USING asked AS v
    WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.run_id
    RETURNING e.partition, e.run_id, e.slot, e.workflow_id
), runs AS MATERIALIZED (
    SELECT * FROM gone UNION ALL SELECT * FROM gone_closed
), no_history AS (
    DELETE FROM {schema}.history AS h USING runs AS r
    WHERE h.partition = ANY (ARRAY[r.partition]) AND h.run_id = r.run_id AND h.slot = r.slot
), no_notes AS (
    DELETE FROM {schema}.notes AS n USING runs AS r WHERE n.partition = ANY (ARRAY[r.partition]) AND n.run_id = r.run_id
), no_tasks AS (
    DELETE FROM {schema}.tasks AS t USING runs AS r WHERE t.partition = ANY (ARRAY[r.partition]) AND t.run_id = r.run_id
), no_workflow_index AS (
    DELETE FROM {schema}.workflow_index AS w USING runs AS r
    WHERE w.partition = ANY (ARRAY[r.partition]) AND w.run_id = r.run_id AND w.slot = r.slot
), no_task_index AS (
    DELETE FROM {schema}.task_index AS t USING runs AS r
    WHERE t.partition = ANY (ARRAY[r.partition]) AND t.run_id = r.run_id AND t.slot = r.slot
), workflows AS MATERIALIZED (
    -- OFFSET 0: a look-up for each, never a join.
    SELECT DISTINCT r.partition, r.workflow_id FROM runs AS r
    WHERE NOT EXISTS (
        SELECT FROM {schema}.executions AS e
        WHERE e.partition = r.partition AND e.workflow_id = r.workflow_id
            AND e.run_id NOT IN (SELECT o.run_id FROM runs AS o)
        OFFSET 0
    ) AND NOT EXISTS (
        SELECT FROM {schema}.closed_executions AS e
        WHERE e.partition = r.partition AND e.workflow_id = r.workflow_id
            AND e.run_id NOT IN (SELECT o.run_id FROM runs AS o)
        OFFSET 0
    )
), no_documents AS (
    DELETE FROM {schema}.documents AS d WHERE d.workflow_id = ANY (ARRAY(SELECT w.workflow_id FROM workflows AS w))
)
SELECT count(*) FROM runs;

-- == What is read of executions ==============================================================================

-- fragment: columns
e.partition, e.workflow_id, e.run_id, e.first_run_id, e.workflow_type, e.task_queue, e.start_time,
e.parent_workflow_id, e.parent_run_id, e.memo, e.request_id, e.status, e.close_time, e.wake_at, e.problem,
e.history_length

-- fragment: by_run
-- The runs asked for by run id, through the primary keys; of the closed ones each slot is asked.
unnest(:partition::smallint[], :run_id::text[]) AS v (partition, id)
CROSS JOIN LATERAL (
    SELECT {columns}, e.slot, e.number
    FROM {schema}.executions AS e WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.id
    UNION ALL
    SELECT {columns}, e.slot, e.number
    FROM {schema}.closed_executions AS e
    WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.id AND NOT EXISTS (
        SELECT FROM {schema}.executions AS o WHERE o.partition = ANY (ARRAY[v.partition]) AND o.run_id = v.id
    )
) AS e

-- fragment: by_workflow
-- The latest run of each workflow id: the open one, else the last that closed; through executions_by_workflow and
-- closed_executions_by_workflow.
unnest(:partition::smallint[], :workflow_id::text[]) AS v (partition, id)
CROSS JOIN LATERAL (
    (
        SELECT {columns}, e.slot, e.number
        FROM {schema}.executions AS e
        WHERE e.partition = v.partition AND e.workflow_id = v.id
        ORDER BY e.number DESC LIMIT 1
    )
    UNION ALL
    (
        SELECT {columns}, e.slot, e.number
        FROM {schema}.closed_executions AS e
        WHERE e.partition = v.partition AND e.workflow_id = v.id AND NOT EXISTS (
            SELECT FROM {schema}.executions AS o WHERE o.partition = v.partition AND o.workflow_id = v.id
        )
        ORDER BY e.number DESC LIMIT 1
    )
) AS e

-- fragment: of_slot
-- The runs of one slot: the planner leaves out the others, which makes the statement many times as fast to begin.
unnest(:partition::smallint[], :run_id::text[]) AS v (partition, id)
CROSS JOIN LATERAL (
    SELECT {columns}
    FROM {schema}.executions AS e
    WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.id AND e.slot = :slot::smallint
    UNION ALL
    SELECT {columns}
    FROM {schema}.closed_executions AS e
    WHERE e.partition = ANY (ARRAY[v.partition]) AND e.run_id = v.id AND e.slot = :slot::smallint
) AS e

-- fragment: belongings
-- What belongs to a run. Of a closed run, unless asked, only how long its history is.
h.size, h.events, n.keys AS note_keys, n.notes, t.keys AS task_keys, t.kinds, t.queues, t.claimed_by, t.claimed_at,
t.data

-- fragment: with_belongings
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(octet_length(h.events)), 0)::bigint AS size,
        array_agg(h.events ORDER BY h.first_event_id) FILTER (WHERE e.close_time IS NULL OR :whole) AS events
    FROM {schema}.history AS h
    WHERE h.partition = e.partition AND h.run_id = e.run_id AND h.slot = :slot::smallint
) AS h
CROSS JOIN LATERAL (
    SELECT array_agg(n.key) AS keys, array_agg(n.note) AS notes
    FROM {schema}.notes AS n
    WHERE n.partition = e.partition AND n.run_id = e.run_id
) AS n
CROSS JOIN LATERAL (
    SELECT
        array_agg(t.key ORDER BY t.id) AS keys, array_agg(t.kind ORDER BY t.id) AS kinds,
        array_agg(t.task_queue ORDER BY t.id) AS queues,
        array_agg(t.claimed_by ORDER BY t.id) AS claimed_by, array_agg(t.claimed_at ORDER BY t.id) AS claimed_at,
        array_agg(t.data ORDER BY t.id) AS data
    FROM {schema}.tasks AS t
    WHERE t.partition = e.partition AND t.run_id = e.run_id AND e.close_time IS NULL
) AS t

-- name: load
SELECT {columns}, {belongings} FROM {of_slot} {with_belongings};

-- name: places_by_run
SELECT e.partition, e.workflow_id, e.run_id, e.slot FROM {by_run};

-- name: places_by_workflow
SELECT e.partition, e.workflow_id, e.run_id, e.slot FROM {by_workflow};

-- name: rows_by_run
SELECT {columns} FROM {by_run};

-- name: rows_by_workflow
SELECT {columns} FROM {by_workflow};

-- name: due
-- Through executions_by_wake: so many of each partition, of which the first are taken.
SELECT e.workflow_id, e.run_id, e.wake_at
FROM unnest(:partitions::smallint[]) AS v (partition)
CROSS JOIN LATERAL (
    SELECT e.workflow_id, e.run_id, e.wake_at
    FROM {schema}.executions AS e
    WHERE e.partition = v.partition AND e.wake_at < :before AND (e.wake_at, e.run_id) > (:wake_at, :run_id::text)
    ORDER BY e.wake_at, e.run_id
    LIMIT :limit
) AS e
ORDER BY e.wake_at, e.run_id
LIMIT :limit;

-- == Members and their partitions ============================================================================

-- fragment: present
-- Members, and whether each is alive: its time is not over, and its session is not known to have ended. A session
-- holds an advisory lock; a server that restarted has ended all of them and says nothing about their processes, and
-- a connection that was cut has a second to come back. Mercy, in seconds, is for when nobody could renew.
locks AS MATERIALIZED (
    SELECT classid::bigint << 32 | objid::bigint AS key
    FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1
        AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
), present AS MATERIALIZED (
    SELECT m.name, m.rank, m.until + :mercy::integer * interval '1 second' >= clock_timestamp() AND NOT (
        :mercy::integer = 0 AND :judge::boolean AND m.session IS NOT NULL AND m.session_started > pg_postmaster_start_time()
        AND m.renewed < clock_timestamp() - interval '1 second'
        AND m.session NOT IN (SELECT key FROM locks)
    ) AS alive
    FROM {schema}.members AS m
)

-- fragment: view
-- What a member has to know: the members that are alive, of what rank; how many partitions are free; its own.
(SELECT array_agg(p.rank) FROM present AS p WHERE p.alive AND p.name <> :member) AS ranks,
(SELECT count(*) FROM present AS p WHERE NOT p.alive AND p.name <> :member) AS dead,
(SELECT count(*) FROM {schema}.partitions AS p WHERE p.member IS NULL) AS free,
(SELECT array_agg(p.partition ORDER BY p.partition) FROM {schema}.partitions AS p WHERE p.member = :member)
    AS partitions,
(SELECT array_agg(p.epoch ORDER BY p.partition) FROM {schema}.partitions AS p WHERE p.member = :member) AS epochs

-- name: renew
WITH renewed AS (
    UPDATE {schema}.members
    SET until = clock_timestamp() + :term::float8 * interval '1 microsecond', renewed = clock_timestamp(), rank = :rank
    WHERE name = :member AND revision = :revision
    RETURNING 1
), {present}
SELECT EXISTS (SELECT FROM renewed) AS joined, {view};

-- name: serialize
-- Members join, leave and take one at a time.
SELECT pg_advisory_xact_lock(:deployment);

-- name: join
-- With a revision that was never used: what was decided before can't be committed any more. Waits for a commit in
-- progress.
INSERT INTO {schema}.members (name, rank, until, renewed, session, session_started, description)
VALUES (
    :member, :rank, clock_timestamp() + :term::float8 * interval '1 microsecond', clock_timestamp(), :session,
    clock_timestamp(), :description
)
ON CONFLICT (name) DO UPDATE SET
    revision = nextval('{schema}.member_revisions'), rank = excluded.rank, until = excluded.until,
    renewed = excluded.renewed, session = excluded.session, session_started = excluded.session_started,
    description = excluded.description
RETURNING revision;

-- name: bury
-- Waits for commits of the dead that are in progress, which then are the last.
WITH {present}
DELETE FROM {schema}.members AS m USING present AS p
WHERE m.name = p.name AND NOT p.alive AND m.name <> :member
    AND (m.until < clock_timestamp() OR m.renewed < clock_timestamp() - interval '1 second')
RETURNING m.name;

-- name: free_partitions
UPDATE {schema}.partitions AS p SET member = NULL
WHERE p.member IS NOT NULL AND NOT EXISTS (SELECT FROM {schema}.members AS m WHERE m.name = p.member);

-- name: view
WITH {present}
SELECT true AS joined, {view};

-- name: take
UPDATE {schema}.partitions AS p SET member = :member, epoch = p.epoch + 1
WHERE p.partition IN (
    SELECT f.partition FROM {schema}.partitions AS f WHERE f.member IS NULL ORDER BY f.partition LIMIT :number
)
RETURNING p.partition, p.epoch;

-- name: give
UPDATE {schema}.partitions AS p SET member = NULL
WHERE p.member = :member AND p.partition = ANY (:partitions::smallint[]);

-- name: leave
WITH gone AS (
    DELETE FROM {schema}.members WHERE name = :member AND revision = :revision RETURNING name
)
UPDATE {schema}.partitions AS p SET member = NULL FROM gone AS g WHERE p.member = g.name;

-- name: hold_session
-- For as long as the session lasts; see present.
SELECT pg_try_advisory_lock(:session);

-- name: fence_off
-- Whatever an old connection of this member still does has its effect before this or not at all.
UPDATE {schema}.members
SET revision = nextval('{schema}.member_revisions'), session = :session, session_started = clock_timestamp()
WHERE name = :member AND revision = :revision
RETURNING revision;

-- name: owners
SELECT m.description
FROM {schema}.members AS m
WHERE EXISTS (SELECT FROM {schema}.partitions AS p WHERE p.member = m.name)
ORDER BY m.name;

-- == Messages and tasks ======================================================================================

-- name: receive
-- Never from behind the last id that was seen: a message with a lower one may be committed later.
SELECT i.id, i.partition, i.data
FROM unnest(:partitions::smallint[]) AS v (partition)
CROSS JOIN LATERAL (
    SELECT i.id, i.partition, i.data
    FROM {schema}.inbox AS i
    WHERE i.partition = v.partition AND i.id <> ALL (:known::bigint[])
    ORDER BY i.id
    LIMIT :limit
) AS i
ORDER BY i.id
LIMIT :limit;

-- name: answers
SELECT a.request_id, a.answer
FROM unnest(:partition::smallint[], :request_id::text[]) AS v (partition, request_id)
JOIN {schema}.answers AS a ON a.partition = ANY (ARRAY[v.partition]) AND a.request_id = v.request_id;

-- fragment: task_columns
t.partition, t.task_queue, t.workflow_id, t.run_id, t.key, t.kind, t.data, t.claimed_by, t.claimed_at

-- name: waiting_tasks
-- Through tasks_waiting.
SELECT {task_columns}
FROM unnest(:partitions::smallint[]) AS v (partition)
CROSS JOIN unnest(:kinds::smallint[]) AS k (kind)
CROSS JOIN LATERAL (
    SELECT {task_columns}, t.id
    FROM {schema}.tasks AS t
    WHERE t.task_queue = :task_queue AND t.kind = k.kind AND t.partition = v.partition AND t.claimed_by IS NULL
    ORDER BY t.id
    LIMIT :limit
) AS t
ORDER BY t.id
LIMIT :limit;

-- name: claim
-- Each range is one of tasks_waiting and is read no further than is needed. Ranges: kinds, and the partitions from
-- where the last claim ended to the last, then those before, so that none starves.
WITH picked AS MATERIALIZED (
    SELECT t.partition, t.run_id, t.key
    FROM unnest(:kind::smallint[], :first::smallint[], :last::smallint[]) AS v (kind, first, last)
    CROSS JOIN LATERAL (
        SELECT t.partition, t.run_id, t.key
        FROM {schema}.tasks AS t
        WHERE t.task_queue = :task_queue AND t.kind = v.kind AND t.partition BETWEEN v.first AND v.last
            AND t.claimed_by IS NULL
        ORDER BY t.partition, t.id
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ) AS t
    LIMIT :limit
)
UPDATE {schema}.tasks AS t
SET claimed_by = :member, claimed_at = (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint
FROM picked AS p
WHERE t.partition = ANY (ARRAY[p.partition]) AND t.run_id = p.run_id AND t.key = p.key
RETURNING {task_columns}, t.id;

-- name: held
-- Through the primary key. With `claimed_by = :member` it could be tasks_claimed, and all that a member is at would be
-- read for each task of it.
SELECT v.place, coalesce(t.stop, '') AS stop
FROM unnest(:partition::smallint[], :run_id::text[], :key::bigint[], :claimed_at::bigint[])
    WITH ORDINALITY AS v (partition, run_id, key, claimed_at, place)
JOIN {schema}.tasks AS t
    ON t.partition = ANY (ARRAY[v.partition]) AND t.run_id = v.run_id AND t.key = v.key
WHERE coalesce(t.claimed_by, '') = :member AND t.claimed_at = v.claimed_at;

-- name: claims
-- Through tasks_claimed; there are as many as tasks are being worked on elsewhere.
WITH {present}
SELECT {task_columns}, m.name IS NULL AS lost
FROM {schema}.tasks AS t LEFT JOIN present AS m ON m.name = t.claimed_by AND m.alive
WHERE t.partition = ANY (:partitions::smallint[]) AND t.claimed_by IS NOT NULL
    AND (t.claimed_at >= :since OR m.name IS NULL)
ORDER BY t.id;

-- name: notify
SELECT pg_notify(:channel, :payload);

-- == Listings ================================================================================================

-- fragment: matches
-- What a filter asks for, beside what a statement's index serves. NULL means any.
e.start_time > :started_after AND e.start_time < :started_before
AND (:types::text[] IS NULL OR e.workflow_type = ANY (:types))
AND (:statuses::smallint[] IS NULL OR e.status = ANY (:statuses))
AND (:task_queue::text IS NULL OR e.task_queue = :task_queue)
AND (:stuck::boolean IS NULL OR (e.problem IS NOT NULL) = :stuck)
AND (:closed_after::bigint IS NULL OR e.close_time > :closed_after)
AND (:closed_before::bigint IS NULL OR e.close_time < :closed_before)
AND (:parent::text IS NULL OR e.parent_workflow_id = :parent)

-- fragment: every_run
-- Newest start first, through executions_by_start and closed_executions_by_start.
(
    SELECT {columns}, e.number FROM {schema}.executions AS e
    UNION ALL
    SELECT {columns}, e.number FROM {schema}.closed_executions AS e
) AS e

-- name: find
SELECT {columns} FROM {every_run}
WHERE {matches}
ORDER BY e.start_time DESC, e.number DESC LIMIT :limit OFFSET :offset;

-- name: find_open
SELECT {columns} FROM {schema}.executions AS e
WHERE {matches}
ORDER BY e.start_time DESC, e.number DESC LIMIT :limit OFFSET :offset;

-- name: find_stuck
-- Through executions_stuck and closed_executions_stuck.
SELECT {columns} FROM {every_run}
WHERE e.problem IS NOT NULL AND {matches}
ORDER BY e.start_time DESC, e.number DESC LIMIT :limit OFFSET :offset;

-- name: find_workflow
-- Also for a prefix of workflow ids, which is a range of them; through executions_by_workflow and
-- closed_executions_by_workflow. NULL as the end: there is none.
SELECT {columns} FROM {every_run}
WHERE e.workflow_id >= :first_workflow AND (:behind_workflow::text IS NULL OR e.workflow_id < :behind_workflow)
    AND {matches}
ORDER BY e.start_time DESC, e.number DESC LIMIT :limit OFFSET :offset;

-- name: count
SELECT e.status, count(*) FROM {every_run} WHERE {matches} GROUP BY e.status;

-- name: count_open
SELECT e.status, count(*) FROM {schema}.executions AS e WHERE {matches} GROUP BY e.status;

-- name: count_stuck
SELECT e.status, count(*) FROM {every_run}
WHERE e.problem IS NOT NULL AND {matches} GROUP BY e.status;

-- name: count_workflow
SELECT e.status, count(*) FROM {every_run}
WHERE e.workflow_id >= :first_workflow AND (:behind_workflow::text IS NULL OR e.workflow_id < :behind_workflow)
    AND {matches}
GROUP BY e.status;

-- == Forgetting what is over =================================================================================

-- name: try_purge
-- One process at a time.
SELECT pg_try_advisory_xact_lock(:deployment);

-- name: purge_answers
DELETE FROM {schema}.answers WHERE recorded < :before;

-- name: expired_runs
-- The oldest closed runs, through closed_executions_by_close.
SELECT e.partition, e.run_id FROM {schema}.closed_executions AS e
WHERE e.close_time < :closed_before
ORDER BY e.close_time, e.number
LIMIT :limit;

-- fragment: open_eras
-- When the open runs started, in eras; a step of executions_by_start each.
open_eras AS (
    (
        SELECT e.start_time / m.era AS era
        FROM {schema}.executions AS e CROSS JOIN {schema}.meta AS m
        ORDER BY e.start_time LIMIT 1
    )
    UNION ALL
    SELECT n.era
    FROM open_eras AS o CROSS JOIN {schema}.meta AS m
    CROSS JOIN LATERAL (
        SELECT e.start_time / m.era AS era
        FROM {schema}.executions AS e
        WHERE e.start_time >= (o.era + 1) * m.era
        ORDER BY e.start_time LIMIT 1
    ) AS n
)

-- name: expired_slots
-- Slots that hold closed runs, all of them expired, and no open run: candidates, to be looked at again under a lock.
WITH RECURSIVE {open_eras}
SELECT s.slot
FROM generate_series(0, 15) AS s (slot)
CROSS JOIN LATERAL (
    SELECT e.close_time
    FROM {schema}.closed_executions AS e
    WHERE e.slot = s.slot
    ORDER BY e.close_time DESC LIMIT 1
) AS newest
WHERE newest.close_time < :closed_before AND s.slot NOT IN (SELECT o.era % 16 FROM open_eras AS o);

-- name: slot_is_expired
WITH RECURSIVE {open_eras}
SELECT :slot NOT IN (SELECT o.era % 16 FROM open_eras AS o) AND NOT EXISTS (
    SELECT FROM {schema}.closed_executions AS e WHERE e.slot = :slot AND e.close_time >= :closed_before
);

-- name: forget_leftovers_of_slot
-- What lies outside of the slot but belongs to its runs; returns how many those are.
WITH runs AS MATERIALIZED (
    SELECT e.partition, e.run_id, e.workflow_id FROM {schema}.closed_executions AS e WHERE e.slot = :slot
), no_notes AS (
    DELETE FROM {schema}.notes AS n USING runs AS r WHERE n.partition = ANY (ARRAY[r.partition]) AND n.run_id = r.run_id
), no_tasks AS (
    DELETE FROM {schema}.tasks AS t USING runs AS r WHERE t.partition = ANY (ARRAY[r.partition]) AND t.run_id = r.run_id
), owned AS MATERIALIZED (
    SELECT DISTINCT d.workflow_id FROM {schema}.documents AS d JOIN runs AS r ON r.workflow_id = d.workflow_id
), no_documents AS (
    DELETE FROM {schema}.documents AS d USING owned AS o
    WHERE d.workflow_id = o.workflow_id
        AND NOT EXISTS (SELECT FROM {schema}.executions AS e WHERE e.workflow_id = o.workflow_id)
        AND NOT EXISTS (
            SELECT FROM {schema}.closed_executions AS e WHERE e.workflow_id = o.workflow_id AND e.slot <> :slot
        )
)
SELECT count(*) FROM runs;

-- name: lock_slot
LOCK TABLE {slot_tables} IN ACCESS EXCLUSIVE MODE;

-- name: empty_slot
TRUNCATE TABLE {slot_tables};

-- == The schema ==============================================================================================

-- name: server_version
SELECT current_setting('server_version_num')::integer;

-- name: schema_exists
SELECT to_regclass(:name::text) IS NOT NULL;

-- name: create_schema
-- Not CREATE SCHEMA IF NOT EXISTS, which asks for the right to create one even if there is nothing to do.
DO $$
BEGIN
    IF to_regnamespace('{schema}') IS NULL THEN
        CREATE SCHEMA {schema};
    END IF;
    IF to_regclass('{schema}.migrations') IS NULL THEN
        CREATE TABLE {schema}.migrations (
            number integer PRIMARY KEY,
            name text NOT NULL,
            applied timestamptz NOT NULL DEFAULT clock_timestamp()
        );
    END IF;
END
$$;

-- name: applied_migrations
SELECT number, name FROM {schema}.migrations ORDER BY number;

-- name: record_migration
INSERT INTO {schema}.migrations (number, name) VALUES (:number, :name);

-- name: raise_oldest_code
UPDATE {schema}.meta SET oldest_code = :number WHERE oldest_code < :number;

-- name: meta
SELECT oldest_code, partitions, era FROM {schema}.meta;

-- name: grant
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schema} TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};
