-- Events that are kept for their bodies are not in the index, so that they cost purges nothing.
CREATE INDEX IF NOT EXISTS "{inbox}_expires" ON "{inbox}" (endpoint, expires_at)
  WHERE body IS NULL;
-- A finished entry is only in the index of finished ones, and leaves it once a purge has examined it.
-- The indexes of the other states contain the state, so that counting reads nothing else. They contain
-- `behind`, so that an ordered lease reads no entries that wait for others.
CREATE INDEX IF NOT EXISTS "{inbox}_waiting"
  ON "{inbox}_entry" (endpoint, consumer, behind, due_at, event, state) WHERE state = 0;
CREATE INDEX IF NOT EXISTS "{inbox}_running"
  ON "{inbox}_entry" (endpoint, consumer, behind, due_at, event, state) WHERE state = 1;
CREATE INDEX IF NOT EXISTS "{inbox}_dead"
  ON "{inbox}_entry" (endpoint, event, consumer, state) WHERE state = 2;
CREATE INDEX IF NOT EXISTS "{inbox}_finished"
  ON "{inbox}_entry" (endpoint, finished_at, event) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS "{inbox}_order_pending"
  ON "{inbox}_entry" (endpoint, consumer, order_key, position, event)
  WHERE order_key IS NOT NULL AND state < 2;
CREATE INDEX IF NOT EXISTS "{inbox}_order_running"
  ON "{inbox}_entry" (endpoint, consumer, order_key, due_at)
  WHERE order_key IS NOT NULL AND state = 1;
CREATE INDEX IF NOT EXISTS "{inbox}_order_dead"
  ON "{inbox}_entry" (endpoint, consumer, order_key, position, event)
  WHERE order_key IS NOT NULL AND state = 2;
CREATE INDEX IF NOT EXISTS "{inbox}_recorded" ON "{inbox}_version" (event);
-- No entry and no version outlives its event, even if the event is deleted by hand.
CREATE TRIGGER IF NOT EXISTS "{inbox}_deleted" AFTER DELETE ON "{inbox}"
BEGIN
  DELETE FROM "{inbox}_entry" WHERE event = old.number;
  DELETE FROM "{inbox}_version" WHERE event = old.number;
END;
-- If the table of events was dropped, numbers start again. The remaining entries and versions must
-- not become those of new events.
DELETE FROM "{inbox}_entry" WHERE event > (SELECT coalesce(max(number), 0) FROM "{inbox}");
DELETE FROM "{inbox}_version" WHERE event > (SELECT coalesce(max(number), 0) FROM "{inbox}");
