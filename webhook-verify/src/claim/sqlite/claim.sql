-- For busy and completed keys, this writes nothing and returns no row. ?4 is the current time.
INSERT INTO {table} AS c (key, state, attempt, owner, fingerprint, lease_until, expires_at)
VALUES (?1, 1, 1, ?2, ?3, ?4 + ?5, ?4 + ?6)
ON CONFLICT (key) DO UPDATE SET
  state = 1,
  attempt = c.attempt + 1,
  owner = excluded.owner,
  fingerprint = excluded.fingerprint,
  lease_until = excluded.lease_until,
  expires_at = max(c.expires_at, excluded.expires_at),
  status = NULL
-- Released (0): a late call of the former owner must not claim it again.
WHERE c.expires_at <= ?4 OR (c.state = 1 AND CASE c.lease_until
  WHEN 0 THEN c.owner <> excluded.owner
  ELSE NOT ?7 AND c.lease_until <= ?4
END)
RETURNING attempt
