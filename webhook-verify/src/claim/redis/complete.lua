-- ARGV: owner, status, lifetime in ms, and the response, if it is stored
-- 1 done, 0 superseded
local r = redis.call('HMGET', KEYS[1], 'o', 's')
if r[1] ~= ARGV[1] then
  return 0
end
if r[2] ~= '2' then
  redis.call('HSET', KEYS[1], 's', '2', 'st', ARGV[2])
  local life = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[3]))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', life))
end
if ARGV[4] then
  redis.call('HSET', KEYS[1], 'r', ARGV[4])
end
return 1
