CREATE TABLE IF NOT EXISTS {inbox_version} (
  endpoint text COLLATE "C" NOT NULL,
  consumer text COLLATE "C" NOT NULL,
  -- the SHA-256 digest of the entity's key
  key bytea NOT NULL CHECK (octet_length(key) = 32),
  version bigint NOT NULL,
  -- the event that recorded the version, which is purged with it
  event bigint NOT NULL,
  PRIMARY KEY (endpoint, consumer, key)
)
