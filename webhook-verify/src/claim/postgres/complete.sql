-- If the owner has already completed the claim, nothing is written. The update checks the state
-- again, because it may change while the update waits for a lock.
WITH done AS MATERIALIZED (
  SELECT key FROM {table} WHERE key = $1 AND owner = $2 AND state = 2
), completed AS (
  UPDATE {table} c SET
    state = 2,
    status = CASE c.state WHEN 1 THEN $3 ELSE c.status END,
    expires_at = {expires_at}
  WHERE c.key = $1 AND c.owner = $2 AND NOT EXISTS (SELECT FROM done)
    AND set_config('lock_timeout', $6::bigint::text, true) IS NOT NULL
  RETURNING c.key
)
SELECT key FROM completed UNION ALL SELECT key FROM done
