SELECT c.consumer, c.waiting, c.running, c.dead, i.received_at
FROM (
  SELECT consumer, sum(waiting) AS waiting, sum(running) AS running, sum(dead) AS dead,
    min(oldest) AS oldest
  FROM (
    SELECT consumer, count(*) AS waiting, 0 AS running, 0 AS dead, min(event) AS oldest
    FROM "{inbox}_entry" WHERE endpoint = ?1 AND state = 0 GROUP BY consumer
    UNION ALL
    SELECT consumer, 0, count(*), 0, min(event)
    FROM "{inbox}_entry" WHERE endpoint = ?1 AND state = 1 GROUP BY consumer
    UNION ALL
    SELECT consumer, 0, 0, count(*), NULL
    FROM "{inbox}_entry" WHERE endpoint = ?1 AND state = 2 GROUP BY consumer
  )
  GROUP BY consumer
) c
LEFT JOIN "{inbox}" i ON i.number = c.oldest
ORDER BY c.consumer
