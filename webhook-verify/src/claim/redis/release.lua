-- ARGV: owner
-- 1 done, 0 superseded
local r = redis.call('HMGET', KEYS[1], 'o', 's')
if r[1] ~= ARGV[1] or r[2] ~= '1' then
  return 0
end
redis.call('HSET', KEYS[1], 'u', '0')
return 1
