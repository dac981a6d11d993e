-- An entry that is locked is about to be settled by its handler's transaction, or to be leased by
-- another worker. It is skipped, because the other leases must not expire meanwhile.
-- An expired lease of an entry with an order key is lost: another entry with the key may run.
WITH known AS MATERIALIZED (
  SELECT g.index, t.event, t.consumer, t.owner
  FROM unnest((SELECT $1::bigint[]), (SELECT $2::text[]), (SELECT $3::bytea[]))
    WITH ORDINALITY AS g (event, consumer, owner, index)
  JOIN {inbox_entry} t ON t.event = g.event AND t.consumer = g.consumer AND t.owner = g.owner
  WHERE t.state = 1 AND (t.order_key IS NULL OR t.due_at > statement_timestamp())
), locked AS MATERIALIZED (
  SELECT t.event, t.consumer
  FROM known k
  JOIN {inbox_entry} t ON t.event = k.event AND t.consumer = k.consumer AND t.owner = k.owner
  WHERE t.state = 1
  ORDER BY t.event, t.consumer
  FOR NO KEY UPDATE OF t SKIP LOCKED
), extended AS (
  UPDATE {inbox_entry} t SET due_at = (SELECT clock_timestamp()) + $4::bigint * interval '1 ms'
  FROM locked l
  WHERE t.event = l.event AND t.consumer = l.consumer
  RETURNING t.event, t.consumer, t.owner
)
SELECT k.index, e.event IS NOT NULL
FROM known k
LEFT JOIN extended e ON e.event = k.event AND e.consumer = k.consumer AND e.owner = k.owner
