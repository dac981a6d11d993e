CREATE TABLE IF NOT EXISTS {responses} (
  key BLOB PRIMARY KEY CHECK (length(key) = 32),
  -- the owner that completed the claim; the response of any other does not count
  owner BLOB NOT NULL CHECK (length(owner) = 16),
  -- the content type and the body of the handler's response
  response BLOB NOT NULL,
  -- when the claim's record expires, in milliseconds since the Unix epoch
  expires_at INTEGER NOT NULL
) STRICT
