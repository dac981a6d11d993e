WITH expired AS MATERIALIZED (
  SELECT ARRAY(
    SELECT t.number
    FROM {inbox} t
    WHERE t.endpoint = $1 AND t.expires_at <= statement_timestamp() AND {all_finished}
    ORDER BY t.expires_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
  ) AS events
), entries AS (
  DELETE FROM {inbox_entry} WHERE event = ANY ((SELECT events FROM expired)::bigint[])
), removed AS (
  DELETE FROM {inbox} WHERE number = ANY ((SELECT events FROM expired)::bigint[])
  RETURNING number
)
SELECT cardinality((SELECT events FROM expired))::bigint, count(*) FROM removed
