-- All entries are locked in the same order before any of them is changed, so that no two batches
-- wait for each other.
WITH given AS MATERIALIZED (
  SELECT *
  FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::bytea[]),
    (SELECT $4::bigint[]), (SELECT $5::bigint[]), (SELECT $6::text[]))
    WITH ORDINALITY AS u (event, consumer, owner, state, delay, error, index)
), locked AS MATERIALIZED (
  SELECT g.*, t.endpoint, t.order_key
  FROM given g
  JOIN {inbox_entry} t ON t.event = g.event AND t.consumer = g.consumer AND t.owner = g.owner
  WHERE t.state = 1 AND set_config('lock_timeout', $7::bigint::text, true) IS NOT NULL
  ORDER BY t.event, t.consumer
  FOR NO KEY UPDATE OF t
), following AS (
  {unpark}
)
UPDATE {inbox_entry} t SET
  state = l.state,
  owner = NULL,
  due_at = CASE l.state
    WHEN 0 THEN (SELECT clock_timestamp()) + l.delay * interval '1 ms'
    ELSE t.due_at
  END,
  error = coalesce(l.error, t.error),
  finished_at = CASE WHEN l.state >= 3 THEN clock_timestamp() END
FROM locked l
WHERE t.event = l.event AND t.consumer = l.consumer
RETURNING l.index
