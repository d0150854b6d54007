-- Takes from all policies or from none, as `quota::State` does.
--
-- KEYS: the shard's arrivals by counter; its counters by when they are idle, in microseconds, rounded up
-- ARGV: takes as JSON: subject, policy, nanoseconds per unit, the whole limit's nanoseconds, quantity, each a text; how many
-- counters there may be; the present, by tests alone
-- Answer, as JSON: when it was decided, whether all passed, and the arrival of each
local ARRIVALS, IDLE = KEYS[1], KEYS[2]
local takes, most = cjson.decode(ARGV[1]), tonumber(ARGV[2])
local now = clock(ARGV[3])

-- Microseconds: a number of Lua's own, exact for the next two centuries.
local function microseconds(n)
  return n[1] * 1e7 + math.ceil(n[2] / 1e3)
end

local idle = redis.call('ZRANGEBYSCORE', IDLE, '-inf', microseconds(now))
local is_swept = {}
for _, counter in ipairs(idle) do
  is_swept[counter] = true
end

local fresh, fresh_count, room = {}, 0, most - (redis.call('ZCARD', IDLE) - #idle)
local counters, bases, arrivals, allowed = {}, {}, {}, true
for i, take in ipairs(takes) do
  local subject = take[1]
  local kept = not is_swept[subject] and redis.call('HGET', ARRIVALS, subject)
  local counter = subject
  if not kept and not fresh[subject] then
    if fresh_count < room then
      fresh[subject], fresh_count = true, fresh_count + 1
    else
      counter = 'overflow ' .. take[2]
      kept = not is_swept[counter] and redis.call('HGET', ARRIVALS, counter)
    end
  end
  local base = larger(number(kept or '0'), now)
  local needed, too_much = product(number(take[3]), number(take[5]))
  local arrival, too_late = sum(base, needed)
  counters[i], bases[counter], arrivals[i] = counter, base, arrival
  allowed = allowed and not (too_much or too_late) and not less(number(take[4]), difference(arrival, now))
end

-- Everything is decided: from here on it is written.
for first = 1, #idle, 1000 do
  local last = min(first + 999, #idle)
  redis.call('HDEL', ARRIVALS, unpack(idle, first, last))
  redis.call('ZREM', IDLE, unpack(idle, first, last))
end
if allowed then
  local used_until = 0
  for i, counter in ipairs(counters) do
    bases[counter] = arrivals[i]
    redis.call('HSET', ARRIVALS, counter, text(arrivals[i]))
    redis.call('ZADD', IDLE, string.format('%.0f', microseconds(arrivals[i])), counter)
    used_until = max(used_until, seconds(arrivals[i]))
  end
  for _, key in ipairs(KEYS) do
    local milliseconds = max(redis.call('PTTL', key), keep_for(now, used_until))
    redis.call('PEXPIRE', key, string.format('%.0f', milliseconds))
  end
end

local shown = {}
for i, counter in ipairs(counters) do
  shown[i] = text(bases[counter])
end
return cjson.encode({ now = text(now), allowed = allowed, arrivals = shown[1] and shown or nil })
