WITH counted AS MATERIALIZED (
  SELECT t.consumer,
    count(*) FILTER (WHERE t.state = 0) AS waiting,
    count(*) FILTER (WHERE t.state = 1) AS running,
    count(*) FILTER (WHERE t.state = 2) AS dead,
    min(t.event) FILTER (WHERE t.state < 2) AS oldest
  FROM (
    SELECT consumer, state, event FROM {inbox_entry} WHERE endpoint = $1 AND state < 2
    UNION ALL
    SELECT consumer, state, event FROM {inbox_entry} WHERE endpoint = $1 AND state = 2
  ) t
  GROUP BY t.consumer
)
SELECT c.consumer, c.waiting, c.running, c.dead,
  CASE
    WHEN isfinite(e.received_at)
    THEN floor(extract(epoch FROM clock_timestamp() - e.received_at) * 1000)::bigint
  END
FROM counted c
LEFT JOIN {inbox} e ON e.number = c.oldest
ORDER BY c.consumer
