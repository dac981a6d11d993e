CREATE TABLE IF NOT EXISTS "{inbox}" (
  -- never reused, so that later events have higher numbers
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint TEXT NOT NULL,
  key BLOB NOT NULL CHECK (length(key) = 32),
  namespace TEXT,
  scheme TEXT NOT NULL,
  event_type TEXT,
  event_id TEXT,
  -- these three in milliseconds since the Unix epoch
  event_time INTEGER,
  received_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  data_pointer TEXT,
  -- JSON: an array of names and values
  headers TEXT NOT NULL,
  -- NULL: removed
  body BLOB,
  UNIQUE (endpoint, key)
) STRICT;
CREATE INDEX IF NOT EXISTS "{inbox}_expires" ON "{inbox}" (endpoint, expires_at);
CREATE TABLE IF NOT EXISTS "{inbox}_entry" (
  event INTEGER NOT NULL,
  consumer TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  -- 0 waiting, 1 running, 2 dead, 3 done, 4 discarded
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
  -- the fencing token
  attempt INTEGER NOT NULL,
  -- the attempts when an operator last retried it
  retried_at_attempt INTEGER NOT NULL DEFAULT 0,
  -- the owner of the lease, while running
  owner BLOB CHECK (length(owner) = 16),
  -- in milliseconds since the Unix epoch: the next attempt, or the end of the lease
  due_at INTEGER NOT NULL,
  order_key BLOB,
  position INTEGER NOT NULL,
  -- The consumer's earlier entries with the same order key that are unfinished: 0 none, 1 only dead
  -- ones, 2 waiting or running ones. Triggers keep it true of waiting and running entries.
  behind INTEGER NOT NULL DEFAULT 0 CHECK (behind BETWEEN 0 AND 2),
  error TEXT,
  -- when it became done or was discarded; NULL again once the event has no body
  finished_at INTEGER,
  PRIMARY KEY (event, consumer)
) STRICT, WITHOUT ROWID;
-- A finished entry is only in the index of finished ones, and leaves it with its body.
-- Those of the other states contain the state, so that counting reads nothing else. A lease with an
-- order finds no entries that wait for others, however many there are.
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
-- No entry outlives its event, even if that is deleted by hand.
CREATE TRIGGER IF NOT EXISTS "{inbox}_deleted" AFTER DELETE ON "{inbox}"
BEGIN
  DELETE FROM "{inbox}_entry" WHERE event = old.number;
END;
CREATE TABLE IF NOT EXISTS "{inbox}_version" (
  endpoint TEXT NOT NULL,
  consumer TEXT NOT NULL,
  key BLOB NOT NULL,
  version INTEGER NOT NULL,
  -- the number of the event that recorded it
  event INTEGER NOT NULL,
  PRIMARY KEY (endpoint, consumer, key)
) STRICT, WITHOUT ROWID;
-- If the events were dropped, their numbers start again, and their entries must not be taken for
-- those of other events.
DELETE FROM "{inbox}_entry" WHERE event > (SELECT coalesce(max(number), 0) FROM "{inbox}");
-- Fail if a table has other columns.
SELECT number, endpoint, key, namespace, scheme, event_type, event_id, event_time, received_at,
  expires_at, data_pointer, headers, body FROM "{inbox}" LIMIT 0;
SELECT event, consumer, endpoint, state, attempt, retried_at_attempt, owner, due_at, order_key,
  position, behind, error, finished_at FROM "{inbox}_entry" LIMIT 0;
SELECT endpoint, consumer, key, version, event FROM "{inbox}_version" LIMIT 0;
