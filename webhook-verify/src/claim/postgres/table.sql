CREATE TABLE IF NOT EXISTS {table} (
  key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
  -- 1 in progress, 2 completed
  state smallint NOT NULL CHECK (state IN (1, 2)),
  -- the fencing token
  attempt bigint NOT NULL,
  owner bytea NOT NULL CHECK (octet_length(owner) = 16),
  fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
  -- the epoch: released
  lease_until timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  -- the handler's status, once completed
  status integer
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)
