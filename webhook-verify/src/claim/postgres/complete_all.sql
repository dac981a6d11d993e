-- Claims that their owner has already completed are only read. All others are locked in the order
-- of `claim.sql` before the first is changed. The update checks the state again, because a claim
-- may have been completed in the meantime.
-- The planner expects a selected array to be short, so it uses the index even in a large table.
WITH known AS MATERIALIZED (
  SELECT c.key, c.owner, c.state
  FROM unnest((SELECT $1::bytea[]), (SELECT $2::bytea[])) AS a (key, owner)
  JOIN {table} c ON c.key = a.key AND c.owner = a.owner
), locked AS (
  SELECT c.key
  FROM known k
  JOIN {table} c ON c.key = k.key AND c.owner = k.owner
  WHERE k.state = 1 AND set_config('lock_timeout', $3::bigint::text, true) IS NOT NULL
  ORDER BY c.key
  FOR NO KEY UPDATE OF c
), completed AS (
  UPDATE {table} c SET
    state = 2,
    status = CASE c.state WHEN 1 THEN $4 ELSE c.status END,
    expires_at = {expires_at}
  FROM locked l
  WHERE c.key = l.key
  RETURNING c.key
)
SELECT key FROM completed UNION ALL SELECT key FROM known WHERE state = 2
