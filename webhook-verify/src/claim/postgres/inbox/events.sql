CREATE SEQUENCE IF NOT EXISTS {inbox_number};
CREATE TABLE IF NOT EXISTS {inbox} (
  -- later events have higher numbers
  number bigint PRIMARY KEY,
  key bytea NOT NULL CHECK (octet_length(key) = 32),
  -- the name of the inbox
  endpoint text COLLATE "C" NOT NULL,
  namespace text,
  scheme text NOT NULL,
  event_type text,
  event_id text,
  -- in milliseconds since the Unix epoch
  event_time bigint,
  data_pointer text,
  received_at timestamptz NOT NULL,
  -- a JSON array of names and values
  headers text NOT NULL,
  -- null: removed
  body bytea,
  expires_at timestamptz NOT NULL,
  UNIQUE (key, endpoint)
);
ALTER SEQUENCE {inbox_number} OWNED BY {inbox}.number
