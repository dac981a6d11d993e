CREATE TABLE IF NOT EXISTS {table} (
  key BLOB PRIMARY KEY CHECK (length(key) = 32),
  -- 1 in progress, 2 completed
  state INTEGER NOT NULL CHECK (state IN (1, 2)),
  -- the fencing token
  attempt INTEGER NOT NULL,
  owner BLOB NOT NULL CHECK (length(owner) = 16),
  fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
  -- both in milliseconds since the Unix epoch; 0: released
  lease_until INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  -- the handler's status, once completed
  status INTEGER
) STRICT, WITHOUT ROWID
