-- Once the body is removed, its entries leave the index of finished entries. Entries whose event was
-- deleted by hand are deleted. purge_events.sql explains the locks.
WITH examined AS MATERIALIZED (
  SELECT t.event AS number, t.finished_at AS at
  FROM {inbox_entry} t
  WHERE t.endpoint = $1
    AND t.finished_at <= statement_timestamp() - $2::bigint * interval '1 ms'
    AND (t.finished_at, t.event) > {cursor}
  ORDER BY t.finished_at, t.event
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
), removed AS (
  UPDATE {inbox} SET body = NULL
  WHERE number = ANY ((SELECT events FROM chosen)::bigint[]) AND body IS NOT NULL
  RETURNING number
), orphans AS (
  DELETE FROM {inbox_entry} WHERE ctid = ANY (ARRAY(
    SELECT t.ctid
    FROM {inbox_entry} t
    WHERE t.event = ANY (ARRAY(SELECT number FROM examined)) AND t.finished_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM {inbox} e WHERE e.number = t.event)
    ORDER BY t.event, t.consumer
    FOR UPDATE SKIP LOCKED
  ))
), marked AS (
  UPDATE {inbox_entry} SET finished_at = NULL
  WHERE event = ANY ((SELECT events FROM chosen)::bigint[])
)
SELECT (SELECT count(*) FROM removed), (SELECT count(*) FROM examined), {last}
