, leased AS (
  UPDATE {inbox_entry} t SET (state, attempt, owner, due_at, error) = (
    SELECT
      1,
      -- A number that was edited by hand stays within its type.
      CASE
        WHEN x.exhausted OR x.owned THEN t.attempt
        ELSE least(t.attempt, 2147483646) + 1
      END,
      $4::bytea,
      (SELECT clock_timestamp()) + $5::bigint * interval '1 ms',
      CASE
        WHEN x.exhausted THEN '{exhausted}'
        WHEN x.owned THEN t.error
        ELSE nullif(t.error, '{exhausted}')
      END
    FROM (
      SELECT o.owned,
        t.state = 1 AND NOT o.owned AND t.attempt::bigint - t.retried_at_attempt >= $6::bigint
          AS exhausted
      FROM (SELECT (SELECT events FROM owned) <> '{}' AS owned) o
    ) x
  )
  WHERE t.event = ANY ((SELECT events FROM due)::bigint[]) AND t.consumer = $2
  RETURNING t.event, t.attempt, t.retried_at_attempt,
    -- An exhausted entry is returned as dead.
    CASE WHEN t.error = '{exhausted}' THEN 2::smallint ELSE t.state END AS state
)
-- If an event was deleted by hand, its columns are null.
SELECT {event}, l.state, l.attempt, CASE l.state WHEN 1 THEN e.body END, l.event,
  l.retried_at_attempt
FROM {leased} l
LEFT JOIN {inbox} e ON e.number = l.event
ORDER BY array_position((SELECT events FROM due), l.event)
