-- ARGV: owner, lease in ms
-- 1 done, 0 superseded
local r = redis.call('HMGET', KEYS[1], 'o', 's', 'u')
if r[1] ~= ARGV[1] or r[2] ~= '1' or r[3] == '0' then
  return 0
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'u', string.format('%.0f', now + lease))
if redis.call('PTTL', KEYS[1]) < lease then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', lease))
end
return 1
