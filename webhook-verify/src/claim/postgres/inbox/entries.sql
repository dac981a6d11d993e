CREATE TABLE IF NOT EXISTS {inbox_entry} (
  event bigint NOT NULL,
  consumer text COLLATE "C" NOT NULL,
  -- that of the event
  endpoint text COLLATE "C" NOT NULL,
  -- 0 waiting, 1 running, 2 dead, 3 done, 4 discarded
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 4),
  -- the fencing token
  attempt integer NOT NULL,
  -- the attempts when an operator last retried it
  retried_at_attempt integer NOT NULL DEFAULT 0,
  -- that of the lease, while running
  owner bytea CHECK (octet_length(owner) = 16),
  -- waiting: the time of the next attempt; running: the end of the lease
  due_at timestamptz NOT NULL,
  -- the SHA-256 digest of the order key
  order_key bytea CHECK (octet_length(order_key) = 32),
  -- zero without positions
  position bigint NOT NULL,
  -- that of the last attempt
  error text,
  -- null unless done or discarded, and once a purge has examined the entry
  finished_at timestamptz,
  PRIMARY KEY (event, consumer)
) WITH (autovacuum_vacuum_scale_factor = 0.02)
