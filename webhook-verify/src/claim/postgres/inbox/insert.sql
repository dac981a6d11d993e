-- The numbers of events have the delivery's order. The events are inserted in the order of their
-- keys, so that no two deliveries wait for each other. Bodies pass through no scan and no sort,
-- which would write large ones to a temporary file. The receiver acknowledges the events after the
-- commit, so the commit must be durable, even if commits are not by default. An event that is stored
-- already may not be on the standbys yet, because the transaction that stored it was cancelled in its
-- wait for them. A commit waits only if it has written something, so a message is written.
WITH given AS MATERIALIZED (
  SELECT nextval('{inbox_number}') AS number, u.*
  FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
    $8::text[], $10::bigint[], $11::bytea[], $12::bigint[])
    WITH ORDINALITY AS u (key, namespace, scheme, event_type, event_id, event_time, data_pointer,
      headers, ttl, order_key, position, index)
), inserted AS (
  INSERT INTO {inbox} (number, key, endpoint, namespace, scheme, event_type, event_id, event_time,
    data_pointer, received_at, headers, body, expires_at)
  SELECT g.number, g.key, $13::text, g.namespace, g.scheme, g.event_type, g.event_id, g.event_time,
    g.data_pointer, statement_timestamp(), g.headers, ($9::bytea[])[g.index],
    statement_timestamp() + g.ttl * interval '1 ms'
  FROM (
    SELECT * FROM given
    WHERE set_config('lock_timeout', $15::bigint::text, true) IS NOT NULL
      AND set_config('synchronous_commit',
        replace(current_setting('synchronous_commit'), 'off', 'on'), true) IS NOT NULL
      AND (current_setting('synchronous_standby_names') = ''
        OR (SELECT pg_logical_emit_message(true, 'webhook_verify', '')) IS NOT NULL)
    ORDER BY key
  ) g
  ON CONFLICT (key, endpoint) DO NOTHING
  RETURNING number
), entries AS (
  INSERT INTO {inbox_entry} (event, consumer, endpoint, state, attempt, due_at, order_key, position)
  SELECT g.number, c.consumer, $13::text, 0, 0, statement_timestamp(), g.order_key, g.position
  FROM inserted i
  JOIN given g ON g.number = i.number
  CROSS JOIN unnest($14::text[]) AS c (consumer)
)
SELECT g.index FROM inserted i JOIN given g ON g.number = i.number
