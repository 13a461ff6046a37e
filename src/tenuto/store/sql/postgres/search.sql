-- The statements of searches and documents, in the notation of statements.sql.

-- == Parts of a commit =======================================================================================

-- name: upsert_workflow_index
-- The place of a run in what is newest is the one of its first entry.
INSERT INTO {schema}.workflow_index (
    partition, slot, version, priority, start_time, end_time, update_time, run_id, workflow_id, workflow_type, status,
    correlation_id, parent_workflow_id, created_by, event, classifier, idempotency_key, reason, details, input, output
)
SELECT
    partition, slot, version, priority, start_time, end_time, update_time, run_id, workflow_id, workflow_type, status,
    correlation_id, parent_workflow_id, created_by, event, classifier, idempotency_key, reason, details, input, output
FROM unnest(
    :iw_partition::smallint[], :iw_slot::smallint[], :iw_version::bigint[], :iw_priority::bigint[],
    :iw_start_time::bigint[], :iw_end_time::bigint[], :iw_update_time::bigint[], :iw_run_id::text[],
    :iw_workflow_id::text[], :iw_workflow_type::text[], :iw_status::text[], :iw_correlation_id::text[],
    :iw_parent_workflow_id::text[], :iw_created_by::text[], :iw_event::text[], :iw_classifier::text[],
    :iw_idempotency_key::text[], :iw_reason::text[], :iw_details::bytea[], :iw_input::text[], :iw_output::text[]
) WITH ORDINALITY AS v (
    partition, slot, version, priority, start_time, end_time, update_time, run_id, workflow_id, workflow_type, status,
    correlation_id, parent_workflow_id, created_by, event, classifier, idempotency_key, reason, details, input, output,
    place
)
WHERE (SELECT ok FROM fence)
ORDER BY place
ON CONFLICT (partition, run_id, slot) DO UPDATE SET
    version = excluded.version, priority = excluded.priority, start_time = excluded.start_time,
    end_time = excluded.end_time, update_time = excluded.update_time, status = excluded.status,
    correlation_id = excluded.correlation_id, parent_workflow_id = excluded.parent_workflow_id,
    created_by = excluded.created_by, event = excluded.event, classifier = excluded.classifier,
    idempotency_key = excluded.idempotency_key, reason = excluded.reason, details = excluded.details,
    input = excluded.input, output = excluded.output;

-- name: upsert_task_index
-- A task keeps its place as a run does.
INSERT INTO {schema}.task_index (
    partition, slot, priority, scheduled_time, start_time, end_time, update_time, task_id, run_id, workflow_id,
    workflow_type, task_type, task_def_name, reference_name, status, correlation_id, domain, reason, input, output
)
SELECT
    partition, slot, priority, scheduled_time, start_time, end_time, update_time, task_id, run_id, workflow_id,
    workflow_type, task_type, task_def_name, reference_name, status, correlation_id, domain, reason, input, output
FROM unnest(
    :it_partition::smallint[], :it_slot::smallint[], :it_priority::bigint[], :it_scheduled_time::bigint[],
    :it_start_time::bigint[], :it_end_time::bigint[], :it_update_time::bigint[], :it_task_id::text[],
    :it_run_id::text[], :it_workflow_id::text[], :it_workflow_type::text[], :it_task_type::text[],
    :it_task_def_name::text[], :it_reference_name::text[], :it_status::text[], :it_correlation_id::text[],
    :it_domain::text[], :it_reason::text[], :it_input::text[], :it_output::text[]
) WITH ORDINALITY AS v (
    partition, slot, priority, scheduled_time, start_time, end_time, update_time, task_id, run_id, workflow_id,
    workflow_type, task_type, task_def_name, reference_name, status, correlation_id, domain, reason, input, output,
    place
)
WHERE (SELECT ok FROM fence)
ORDER BY place
ON CONFLICT (partition, run_id, task_id, slot) DO UPDATE SET
    priority = excluded.priority, scheduled_time = excluded.scheduled_time, start_time = excluded.start_time,
    end_time = excluded.end_time, update_time = excluded.update_time, status = excluded.status,
    correlation_id = excluded.correlation_id, domain = excluded.domain, reason = excluded.reason,
    input = excluded.input, output = excluded.output;

-- name: delete_task_index
-- Through task_index_by_task: which run a task was of isn't said, so each slot is asked.
DELETE FROM {schema}.task_index AS t
USING unnest(:ut_partition::smallint[], :ut_task_id::text[]) AS v (partition, task_id)
WHERE t.partition = ANY (ARRAY[v.partition]) AND t.task_id = ANY (ARRAY[v.task_id]) AND (SELECT ok FROM fence);

-- name: upsert_documents
INSERT INTO {schema}.documents AS d (partition, revision, updated, collection, key, workflow_id, data)
SELECT partition, 1, updated, collection, key, workflow_id, data
FROM unnest(
    :pd_partition::smallint[], :pd_updated::bigint[], :pd_collection::text[], :pd_key::text[], :pd_workflow_id::text[],
    :pd_data::bytea[]
) AS v (partition, updated, collection, key, workflow_id, data)
WHERE (SELECT ok FROM fence)
ON CONFLICT (partition, collection, key) DO UPDATE SET
    revision = d.revision + 1, updated = excluded.updated, workflow_id = excluded.workflow_id, data = excluded.data;

-- name: delete_documents
DELETE FROM {schema}.documents AS d
USING unnest(:dd_partition::smallint[], :dd_collection::text[], :dd_key::text[]) AS v (partition, collection, key)
WHERE d.partition = ANY (ARRAY[v.partition]) AND d.collection = v.collection AND d.key = v.key AND (SELECT ok FROM fence);

-- == Documents ===============================================================================================

-- fragment: document_columns
d.collection, d.key, d.data, d.revision, d.updated, coalesce(d.workflow_id, '') AS workflow_id

-- name: document
SELECT {document_columns} FROM {schema}.documents AS d
WHERE d.partition = :partition AND d.collection = :collection AND d.key = :key;

-- fragment: keys
-- A range of the primary key that ends within the collection or with it.
d.partition = :partition AND d.collection = :collection AND d.key >= :first
AND (d.collection, d.key) < (:end_collection::text, :end_key::text)

-- name: documents
SELECT {document_columns} FROM {schema}.documents AS d
WHERE {keys}
ORDER BY d.key
LIMIT :limit;

-- name: count_documents
SELECT count(*) FROM {schema}.documents AS d WHERE {keys};

-- name: put_document
-- Nothing if there is one already and only a new one is wanted.
INSERT INTO {schema}.documents AS d (partition, revision, updated, collection, key, workflow_id, data)
VALUES (:partition, 1, :updated, :collection, :key, :workflow_id, :data)
ON CONFLICT (partition, collection, key) DO UPDATE SET
    revision = d.revision + 1, updated = excluded.updated, workflow_id = excluded.workflow_id, data = excluded.data
WHERE NOT :only_new::boolean
RETURNING d.revision;

-- name: replace_document
-- Nothing if there is none of this revision.
UPDATE {schema}.documents AS d
SET revision = d.revision + 1, updated = :updated, workflow_id = :workflow_id, data = :data
WHERE d.partition = :partition AND d.collection = :collection AND d.key = :key AND d.revision = :revision
RETURNING d.revision;

-- name: document_revision
SELECT d.revision FROM {schema}.documents AS d
WHERE d.partition = :partition AND d.collection = :collection AND d.key = :key;

-- name: delete_document
DELETE FROM {schema}.documents AS d
WHERE d.partition = :partition AND d.collection = :collection AND d.key = :key
RETURNING 1;

-- == Searches ================================================================================================
--
-- Of all partitions. {where} and {order} are made by search.py; each slot gives its rows in order, through an index
-- where there is one for it, and they are merged.

-- name: search_workflows
SELECT
    partition, workflow_id, run_id, workflow_type, version, status, start_time, end_time, update_time, correlation_id,
    parent_workflow_id, priority, created_by, event, classifier, idempotency_key, details, reason, input, output
FROM {schema}.workflow_index
WHERE {where}
ORDER BY {order};

-- name: count_workflows
SELECT count(*) FROM {schema}.workflow_index WHERE {where};

-- fragment: task_index_columns
partition, task_id, workflow_id, run_id, workflow_type, task_type, task_def_name, reference_name, status,
scheduled_time, start_time, end_time, update_time, correlation_id, domain, priority, reason, input, output

-- name: search_tasks
SELECT {task_index_columns}
FROM {schema}.task_index
WHERE {where}
ORDER BY {order};

-- name: count_tasks
SELECT count(*) FROM {schema}.task_index WHERE {where};

-- name: find_tasks
-- Through task_index_by_task.
SELECT {task_index_columns} FROM {schema}.task_index WHERE task_id = ANY (:task_ids::text[]);
