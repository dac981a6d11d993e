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
  -- the SHA-256 digest of the order key
  order_key BLOB,
  position INTEGER NOT NULL,
  -- The consumer's earlier entries with the same order key that are unfinished: 0 none, 1 only dead
  -- ones, 2 waiting or running ones. Triggers update it for waiting and running entries.
  behind INTEGER NOT NULL DEFAULT 0 CHECK (behind BETWEEN 0 AND 2),
  error TEXT,
  -- when it became done or was discarded; NULL again once a purge has examined the entry
  finished_at INTEGER,
  PRIMARY KEY (event, consumer)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS "{inbox}_version" (
  endpoint TEXT NOT NULL,
  consumer TEXT NOT NULL,
  -- the SHA-256 digest of the entity's key
  key BLOB NOT NULL CHECK (length(key) = 32),
  version INTEGER NOT NULL,
  -- the number of the event that recorded it
  event INTEGER NOT NULL,
  PRIMARY KEY (endpoint, consumer, key)
) STRICT, WITHOUT ROWID;
