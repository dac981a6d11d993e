CREATE TABLE IF NOT EXISTS {responses} (
  key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
  -- the owner that completed the claim; the response of any other does not count
  owner bytea NOT NULL CHECK (octet_length(owner) = 16),
  -- the content type and the body of the handler's response
  response bytea NOT NULL,
  -- when the claim's record expires
  expires_at timestamptz NOT NULL
)
