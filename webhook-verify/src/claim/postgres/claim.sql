-- Busy and completed keys are only read, and cause no write. All others are inserted. On a
-- conflict, the insert waits for the row's lock, and checks the row again by the time after the
-- wait. This check does not read `asked`, which would be a scan for each row. So the lease and the
-- policy for expired leases are parameters, which are the same for all keys.
WITH asked AS MATERIALIZED (
  {asked}
), known AS MATERIALIZED (
  SELECT k.*
  FROM asked a
  CROSS JOIN LATERAL (
    SELECT c.key, c.owner, c.state, c.attempt, c.fingerprint, c.status, c.lease_until
    FROM {table} c
    WHERE c.key = a.key
      AND c.expires_at > clock_timestamp()
      AND (c.state = 2
        OR (c.lease_until <> 'epoch' AND ($5::boolean OR c.lease_until > clock_timestamp())))
    OFFSET 0
  ) k
), claimed AS (
  INSERT INTO {table} AS c (key, state, attempt, owner, fingerprint, lease_until, expires_at)
  SELECT a.key, 1, 1, a.owner, a.fingerprint,
    clock_timestamp() + $4::bigint * interval '1 ms', clock_timestamp() + a.ttl * interval '1 ms'
  FROM asked a
  WHERE NOT EXISTS (SELECT FROM known k WHERE k.key = a.key)
    AND set_config('lock_timeout', $7::bigint::text, true) IS NOT NULL
  -- All batches lock in the same order, which prevents deadlocks.
  ORDER BY a.key
  ON CONFLICT (key)
  DO UPDATE SET (state, attempt, owner, fingerprint, lease_until, expires_at, status) = (
    SELECT
      CASE WHEN w.win THEN 1 ELSE c.state END,
      CASE WHEN w.win THEN c.attempt + 1 ELSE c.attempt END,
      CASE WHEN w.win THEN excluded.owner ELSE c.owner END,
      CASE WHEN w.win THEN excluded.fingerprint ELSE c.fingerprint END,
      CASE WHEN w.win THEN w.lease_until ELSE c.lease_until END,
      -- The lifetime begins when the lease does, which is later than the insert began.
      CASE
        WHEN w.win
        THEN greatest(c.expires_at, excluded.expires_at + (w.lease_until - excluded.lease_until))
        ELSE c.expires_at
      END,
      CASE WHEN w.win THEN NULL ELSE c.status END
    FROM (
      SELECT n.t + $4::bigint * interval '1 ms' AS lease_until,
        c.expires_at <= n.t
          OR (c.state = 1 AND CASE c.lease_until
            -- Released. A late call of the former owner must not claim it again.
            WHEN 'epoch' THEN c.owner <> excluded.owner
            ELSE NOT $5::boolean AND c.lease_until <= n.t
          END) AS win
      FROM (SELECT clock_timestamp() AS t) n
    ) w
  )
  RETURNING c.key, c.owner, c.state, c.attempt, c.fingerprint, c.status, c.lease_until
)
SELECT r.key, r.owner, r.state, r.attempt, r.fingerprint, r.status,
  ceil(extract(epoch FROM r.lease_until - clock_timestamp()) * 1000)::bigint
FROM (SELECT * FROM claimed UNION ALL SELECT * FROM known) r
