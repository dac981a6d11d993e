-- The purge of bodies comes first, so only events without a body are examined.
-- Purges lock events before entries, and skip locked events. So no two purges wait for each other.
-- The cursor moves past kept events, so a purge examines each page once.
WITH examined AS MATERIALIZED (
  SELECT t.number, t.expires_at AS at
  FROM {inbox} t
  WHERE t.endpoint = $1 AND t.body IS NULL AND t.expires_at <= statement_timestamp()
    AND (t.expires_at, t.number) > {cursor}
  ORDER BY t.expires_at, t.number
  LIMIT $4
), chosen AS MATERIALIZED (
  SELECT ARRAY(
    SELECT t.number
    FROM {inbox} t
    WHERE t.number = ANY (ARRAY(SELECT number FROM examined)) AND {all_finished}
    ORDER BY t.number
    LIMIT $3
    FOR UPDATE SKIP LOCKED
  ) AS events
), entries AS (
  DELETE FROM {inbox_entry} WHERE event = ANY ((SELECT events FROM chosen)::bigint[])
), versions AS (
  DELETE FROM {inbox_version} WHERE event = ANY ((SELECT events FROM chosen)::bigint[])
), removed AS (
  DELETE FROM {inbox} WHERE number = ANY ((SELECT events FROM chosen)::bigint[])
  RETURNING number
)
SELECT (SELECT count(*) FROM removed), (SELECT count(*) FROM examined), {last}
