CREATE INDEX IF NOT EXISTS "{inbox}_expires" ON "{inbox}" (endpoint, expires_at);
-- A finished entry is only in the index of finished ones, and leaves it with its body.
-- Those of the other states contain the state, so that counting reads nothing else.
CREATE INDEX IF NOT EXISTS "{inbox}_waiting"
  ON "{inbox}_entry" (endpoint, consumer, due_at, event, state) WHERE state = 0;
CREATE INDEX IF NOT EXISTS "{inbox}_running"
  ON "{inbox}_entry" (endpoint, consumer, due_at, event, state) WHERE state = 1;
CREATE INDEX IF NOT EXISTS "{inbox}_dead"
  ON "{inbox}_entry" (endpoint, event, consumer, state) WHERE state = 2;
CREATE INDEX IF NOT EXISTS "{inbox}_finished"
  ON "{inbox}_entry" (endpoint, finished_at, event) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{inbox}_order"
  ON "{inbox}_entry" (endpoint, consumer, order_key, position, event)
  WHERE order_key IS NOT NULL AND state < 3;
-- If the events were dropped, their numbers start again, and their entries must not be taken for
-- those of other events.
DELETE FROM "{inbox}_entry" WHERE event > (SELECT coalesce(max(number), 0) FROM "{inbox}");
