-- The planner expects a selected array to be short, so it looks up each entry, however large the
-- table is.
WITH {owned}, due AS MATERIALIZED (
  SELECT CASE WHEN (SELECT events FROM owned) <> '{}' THEN (SELECT events FROM owned) ELSE ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE t.endpoint = $1 AND t.consumer = $2 AND t.state < 2 AND t.due_at <= statement_timestamp()
    ORDER BY t.due_at, t.event
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
  ) END AS events
)
