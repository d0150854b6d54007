-- Everything is decided: from here on it is written.

local function in_parts(command, key, items)
  for first = 1, #items, 1000 do
    redis.call(command, key, unpack(items, first, min(first + 999, #items)))
  end
end

local function append(list, a, b)
  list[#list + 1] = a
  list[#list + 1] = b
end

local set, forgotten, no_longer_due, due = {}, {}, {}, {}
for field in pairs(changed) do
  local kind, name = field:match('^(%a+) (.*)$')
  local value = cache[field]
  if value then
    append(set, field, write_text[kind](value))
  else
    append(forgotten, field)
  end
  if kind == 'call' then
    local new = value and place_of(value, name)
    if place[field] and place[field] ~= new then
      append(no_longer_due, place[field])
    end
    if new and place[field] ~= new then
      append(due, 0, new)
    end
  end
end
append(set, 'seen', text(now))
append(set, 'sweep_at', sweep_at)
append(set, 'calls', count.call)
append(set, 'counters', count.counter)
append(set, 'rules', count.rules)
in_parts('HSET', ACCOUNT, set)
in_parts('HDEL', ACCOUNT, forgotten)
in_parts('ZREM', DUE, no_longer_due)
in_parts('ZADD', DUE, due)
for _, id in ipairs(ended) do
  redis.call('XADD', ROWS, '*', 'row', rows[id])
end

local first = redis.call('ZRANGE', DUE, 0, 0)[1]
first = first and first:sub(1, 20) or ''
if first ~= (next_due or '') then
  redis.call('HSET', ACCOUNT, 'next', first)
  if first == '' then
    redis.call('ZREM', ACCOUNTS, ARGV[1])
  else
    redis.call('ZADD', ACCOUNTS, seconds(number(first)), ARGV[1])
  end
end

if count.rules + count.call > 0 then
  redis.call('PERSIST', ACCOUNT)
else
  local before = redis.call('PTTL', ACCOUNT)
  -- There were rules or calls until now: nobody has looked how long the rest is used. No period is longer.
  if before < 0 and found[1] then
    used_until = seconds(now) + 33 * DAY
  end
  redis.call('PEXPIRE', ACCOUNT, string.format('%.0f', max(before, keep_for(now, used_until))))
end
return cjson.encode({ now = text(now), outcomes = outcomes, rows = redis.call('XLEN', ROWS) })
