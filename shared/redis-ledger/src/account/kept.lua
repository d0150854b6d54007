-- Applies operations to one account, as `quota::account::Account` does. Whatever changes is written at the end: a script
-- that fails before has changed nothing.
--
-- KEYS: the account; its calls by when they are due; all accounts by when they are due; rows for the database
-- ARGV: the account's name; operations as JSON, every number a text; the present, by tests alone
-- Answer, as JSON: when it was decided, an outcome per operation, how many rows wait
local ACCOUNT, DUE, ACCOUNTS, ROWS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local CAPACITY, FIRST_SWEEP, DAY = 50000, 256, 86400
local REMEMBERED, CORRECTION_REMEMBERED = number('60000000000'), number('600000000000')
local LATE = number('3600000000000')
local now = clock(ARGV[3])

local found = redis.call('HMGET', ACCOUNT, 'seen', 'next', 'sweep_at', 'calls', 'counters', 'rules')
local seen, next_due, sweep_at = number(found[1] or '0'), found[2], tonumber(found[3] or 0)
-- How many there are of each.
local count = { call = tonumber(found[4] or 0), counter = tonumber(found[5] or 0), rules = tonumber(found[6] or 0) }
-- What has been read, by field; false where there is nothing. Which of it has changed. Where a call stands in DUE.
local cache, changed, place = {}, {}, {}
local soon, used_until = {}, 0
-- The calls that end, in that order, and the row of each.
local ended, rows = {}, {}

local read_text, write_text = {}, {}

function read_text.counter(kept)
  local kind, a, b, c = kept:match('^(%a+) (%d+) ?(%d*) ?(%d*)$')
  if kind == 'rate' then
    return { kind = kind, arrival = number(a), spacing = number(b) }
  elseif kind == 'budget' then
    return { kind = kind, start = tonumber(a), spent = number(b), held = number(c) }
  end
  return { kind = kind, held = number(a) }
end

function write_text.counter(counter)
  if counter.kind == 'rate' then
    used_until = max(used_until, seconds(counter.arrival))
    return 'rate ' .. text(counter.arrival) .. ' ' .. text(counter.spacing)
  elseif counter.kind == 'budget' then
    used_until = max(used_until, counter.start + 33 * DAY)
    return string.format('budget %.0f ', counter.start) .. text(counter.spent) .. ' ' .. text(counter.held)
  end
  return 'open ' .. text(counter.held)
end

function read_text.call(kept)
  local call = cjson.decode(kept)
  return { stage = call[1], due = number(call[2]), shares = call[3] or {}, record = call[4] }
end

function write_text.call(call)
  return cjson.encode({ call.stage, text(call.due), call.shares[1] and call.shares or false, call.record })
end

function read_text.rules(kept)
  return cjson.decode(kept)
end

function write_text.rules(rules)
  return cjson.encode(rules)
end

local function place_of(call, name)
  return padded(call.due) .. ' ' .. name
end

local function keep(field, kind, name, kept)
  cache[field] = read_text[kind](kept)
  if kind == 'call' then
    place[field] = place_of(cache[field], name)
  end
end

local function read(kind, name)
  local field = kind .. ' ' .. name
  if cache[field] == nil then
    local kept = redis.call('HGET', ACCOUNT, field)
    if kept then
      keep(field, kind, name, kept)
    else
      cache[field] = false
    end
  end
  return cache[field]
end

-- `value` false: it is forgotten.
local function write(kind, name, value)
  local field = kind .. ' ' .. name
  count[kind] = count[kind] + (value and 1 or 0) - (read(kind, name) and 1 or 0)
  cache[field], changed[field] = value, true
end

local function read_all()
  local all = redis.call('HGETALL', ACCOUNT)
  for i = 1, #all, 2 do
    local kind, name = all[i]:match('^(%a+) (.*)$')
    if kind and cache[all[i]] == nil then
      keep(all[i], kind, name, all[i + 1])
    end
  end
end

-- All of a kind that has been read, by name.
local function each(kind)
  local those = {}
  for field, value in pairs(cache) do
    if value and field:sub(1, #kind + 1) == kind .. ' ' then
      those[field:sub(#kind + 2)] = value
    end
  end
  return those
end
