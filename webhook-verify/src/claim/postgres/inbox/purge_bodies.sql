-- An examined entry leaves the index of finished entries, even if another entry keeps the body: the
-- one that is finished last leads to the body again. So no purge examines an entry that an earlier one
-- has examined. Entries whose event was deleted by hand are deleted. purge_events.sql explains the
-- locks.
WITH examined AS MATERIALIZED (
  SELECT t.event AS number, t.finished_at AS at
  FROM {inbox_entry} t
  WHERE t.endpoint = $1
    AND t.finished_at <= statement_timestamp() - $2::bigint * interval '1 ms'
    AND (t.finished_at, t.event) > {cursor}
  ORDER BY t.finished_at, t.event
  LIMIT $4
), locked AS MATERIALIZED (
  SELECT t.number, {all_finished} AS all_finished
  FROM {inbox} t
  WHERE t.number = ANY (ARRAY(SELECT number FROM examined))
  ORDER BY t.number
  FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
  SELECT ARRAY(SELECT number FROM locked WHERE all_finished ORDER BY number LIMIT $3) AS events
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
  WHERE finished_at <= statement_timestamp() - $2::bigint * interval '1 ms'
    AND event = ANY (ARRAY(
      SELECT unnest(events) FROM chosen
      UNION ALL
      SELECT number FROM locked WHERE NOT all_finished))
)
SELECT (SELECT count(*) FROM removed), (SELECT count(*) FROM examined), {last}
