-- One lease at a time: the next one has to see the entries that this one leases. The statement
-- after the lock sees them. A lease that does not get the lock finds nothing. Inboxes in other tables
-- have other locks.
SELECT 1 WHERE set_config('webhook_verify.has_turn',
  pg_try_advisory_xact_lock(hashtextextended($2,
    hashtextextended($1, '{inbox_entry}'::regclass::oid::bigint)))::text, true) IS NULL;
-- Any number of entries may wait for others with the same order key. If they are all that a lease
-- finds in its window, they are parked: they are due later, or, without an attempt, when the entry
-- before them has finished. So they delay neither this lease for long nor the entries with other order
-- keys. The entry before may finish while this statement runs, and does not see then that the next one
-- is parked. So the next one of each order key is parked for a short time only.
WITH {owned}, turn AS MATERIALIZED (
  SELECT current_setting('webhook_verify.has_turn')::boolean AS is_mine
), free AS MATERIALIZED (
  SELECT t.event, t.due_at
  FROM ({window}) t
  WHERE (SELECT is_mine FROM turn) AND (t.order_key IS NULL OR (
    NOT EXISTS (
      SELECT FROM {inbox_entry} o
      WHERE o.endpoint = $1 AND o.consumer = $2 AND o.order_key = t.order_key
        AND o.state < {unfinished} AND (o.position, o.event) < (t.position, t.event))
    -- An earlier entry may be stored, or retried, while a later one is running.
    AND NOT EXISTS (
      SELECT FROM {inbox_entry} o
      WHERE o.endpoint = $1 AND o.consumer = $2 AND o.order_key = t.order_key
        AND o.state < 3 AND o.state = 1 AND o.event <> t.event
        AND o.due_at > statement_timestamp())))
  ORDER BY t.due_at, t.event
  LIMIT $3
), blocked AS MATERIALIZED (
  SELECT ARRAY(
    SELECT event FROM ({window}) t
    WHERE (SELECT is_mine FROM turn) AND NOT EXISTS (SELECT FROM free)
  ) AS events
), parked AS (
  UPDATE {inbox_entry} t SET due_at = (SELECT clock_timestamp()) + CASE
    WHEN EXISTS (
      SELECT FROM {inbox_entry} o
      WHERE o.endpoint = $1 AND o.consumer = $2 AND o.order_key = t.order_key
        AND o.state < 3 AND o.state = 0 AND (o.position, o.event) < (t.position, t.event))
      THEN interval '1 minute'
    ELSE interval '5 s'
  END
  WHERE consumer = $2 AND event = ANY (ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE t.consumer = $2 AND t.state = 0
      AND t.event = ANY ((SELECT events FROM blocked)::bigint[])
      AND (SELECT cardinality(events) FROM blocked) >= {window_size}
    FOR NO KEY UPDATE SKIP LOCKED
  ))
  RETURNING event
), due AS MATERIALIZED (
  SELECT CASE WHEN (SELECT events FROM owned) <> '{}' THEN (SELECT events FROM owned) ELSE ARRAY(
    SELECT t.event
    FROM {inbox_entry} t
    WHERE t.consumer = $2 AND t.state < 2 AND t.due_at <= statement_timestamp()
      AND t.event = ANY (ARRAY(SELECT event FROM free))
    ORDER BY t.due_at, t.event
    FOR NO KEY UPDATE SKIP LOCKED
  ) END AS events
)
