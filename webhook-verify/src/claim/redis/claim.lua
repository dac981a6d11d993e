-- ARGV: owner, fingerprint, lease in ms, lifetime in ms, 'hold' or 'take'
-- { 1, attempt } won; { 2, status, fingerprint } completed; { 3, ms left } busy
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local r = redis.call('HMGET', KEYS[1], 's', 'a', 'o', 'u', 'f', 'st')
if r[1] == '2' then
  return { 2, tonumber(r[6]), r[5] }
end
if r[1] == '1' then
  local lease_until = tonumber(r[4])
  if lease_until > now then
    if r[3] == ARGV[1] then
      return { 1, tonumber(r[2]) }
    end
    return { 3, lease_until - now }
  end
  -- Released (0): a late call of the former owner must not claim it again.
  if lease_until == 0 and r[3] == ARGV[1] or lease_until ~= 0 and ARGV[5] == 'hold' then
    return { 3, 0 }
  end
end
local attempt = (tonumber(r[2]) or 0) + 1
local lease = tonumber(ARGV[3])
-- Lua would write large numbers with an exponent.
redis.call('HSET', KEYS[1], 's', '1', 'a', attempt, 'o', ARGV[1], 'f', ARGV[2],
  'u', string.format('%.0f', now + lease))
local life = math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[4]), lease)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', life))
return { 1, attempt }
