-- If the owner has already completed the claim, only the response is stored. The update then locks
-- the record, so that nobody deletes it meanwhile.
WITH completed AS (
  UPDATE {table} c SET
    state = 2,
    status = CASE c.state WHEN 1 THEN $3 ELSE c.status END,
    expires_at = {expires_at}
  WHERE c.key = $1 AND c.owner = $2
    AND set_config('lock_timeout', $6::bigint::text, true) IS NOT NULL
  RETURNING c.key, c.owner, c.expires_at
)
INSERT INTO {responses} AS r (key, owner, response, expires_at)
SELECT key, owner, $7::bytea, expires_at FROM completed
ON CONFLICT (key) DO UPDATE SET
  owner = excluded.owner, response = excluded.response, expires_at = excluded.expires_at
RETURNING key
