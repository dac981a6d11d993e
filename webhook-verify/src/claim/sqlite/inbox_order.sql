-- When an entry is stored, finishes, or becomes or ceases to be dead, `behind` may change for it and
-- for the next waiting or running entry with its order key. Later entries stay behind that one. `+ 0`
-- lets the index compare both values of a pair.
CREATE TRIGGER IF NOT EXISTS "{inbox}_{name}" AFTER {change} ON "{inbox}_entry"
WHEN {row}.order_key IS NOT NULL AND {condition}
BEGIN
  UPDATE "{inbox}_entry" SET behind = max(
    2 * EXISTS (
      SELECT 1 FROM "{inbox}_entry" o
      WHERE o.endpoint = {row}.endpoint AND o.consumer = {row}.consumer
        AND o.order_key = {row}.order_key AND o.state < 2
        AND (o.position, o.event) < ("{inbox}_entry".position, "{inbox}_entry".event + 0)),
    EXISTS (
      SELECT 1 FROM "{inbox}_entry" o
      WHERE o.endpoint = {row}.endpoint AND o.consumer = {row}.consumer
        AND o.order_key = {row}.order_key AND o.state = 2
        AND (o.position, o.event) < ("{inbox}_entry".position, "{inbox}_entry".event + 0)))
  WHERE consumer = {row}.consumer AND event IN ({row}.event, (
    SELECT o.event FROM "{inbox}_entry" o
    WHERE o.endpoint = {row}.endpoint AND o.consumer = {row}.consumer
      AND o.order_key = {row}.order_key AND o.state < 2
      AND (o.position, o.event) > ({row}.position, {row}.event + 0)
    ORDER BY o.position, o.event LIMIT 1));
END;
