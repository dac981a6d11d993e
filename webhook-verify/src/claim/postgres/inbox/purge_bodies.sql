-- Once the body is removed, its entries leave the index of finished entries.
WITH finished AS MATERIALIZED (
  SELECT ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE t.endpoint = $1
      AND t.finished_at <= statement_timestamp() - $2::bigint * interval '1 ms'
      AND {all_finished}
    ORDER BY t.finished_at
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS events
), removed AS (
  UPDATE {inbox} SET body = NULL
  WHERE number = ANY ((SELECT events FROM finished)::bigint[]) AND body IS NOT NULL
  RETURNING number
), marked AS (
  UPDATE {inbox_entry} SET finished_at = NULL
  WHERE event = ANY ((SELECT events FROM finished)::bigint[])
)
SELECT cardinality((SELECT events FROM finished))::bigint, count(*) FROM removed
