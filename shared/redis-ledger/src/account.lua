-- Applies operations to one account, as `quota::account::Account` does. Whatever changes is written at the end: a script
-- that fails before has changed nothing.
--
-- KEYS: the account; its calls by when they are due; all accounts by when they are due; rows for the database
-- ARGV: the account's name; operations as JSON, every number a text; the present, by tests alone
-- Answer, as JSON: when it was decided, an outcome per operation, how many rows wait
local ACCOUNT, DUE, ACCOUNTS, ROWS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local CAPACITY, FIRST_SWEEP, DAY = 50000, 256, 86400
local REMEMBERED, LATE = number('600000000000'), number('3600000000000')
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

-- Calls and counters as they are kept ------------------------------------------------------------------------------

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

-- Counters ---------------------------------------------------------------------------------------------------------

-- The first day of a month, and the month of a day, since the epoch. Years begin in March here.
local function month_start(day)
  local days = day + 719468
  local era = floor(days / 146097)
  local of_era = days % 146097
  local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * of_year + 2) / 153)
  return era * 146097 + 365 * year + floor(year / 4) - floor(year / 100) + floor((153 * month + 2) / 5) - 719468
end

local function period_start(per)
  local day = floor(seconds(now) / DAY)
  return (per == 'day' and day or month_start(day)) * DAY
end

local KINDS = { rate = 'rate', day = 'budget', month = 'budget', moment = 'open' }

local function new_counter(rule)
  local kind = KINDS[rule.per]
  if kind == 'rate' then
    return { kind = kind, arrival = now, spacing = rule.spacing }
  elseif kind == 'budget' then
    return { kind = kind, start = period_start(rule.per), spent = ZERO, held = ZERO }
  end
  return { kind = kind, held = ZERO }
end

local function copy(counter)
  local other = {}
  for name, value in pairs(counter) do
    other[name] = value
  end
  return other
end

local function is_idle(counter)
  if counter.kind == 'rate' then
    return not less(now, counter.arrival)
  elseif counter.kind == 'budget' then
    return (is_zero(counter.spent) and is_zero(counter.held)) or counter.start + 32 * DAY < seconds(now)
  end
  return is_zero(counter.held)
end

-- At the limit and in the period of `rule`; an untouched one if there is none.
local function follow(name, rule)
  local counter = read('counter', name)
  if not counter then
    return new_counter(rule)
  end
  local fresh = new_counter(rule)
  if counter.kind ~= fresh.kind or (counter.kind == 'budget' and counter.start < fresh.start) then
    counter = fresh
  elseif counter.kind == 'rate' and text(counter.spacing) ~= text(rule.spacing) then
    local taken = scaled(difference(counter.arrival, now), rule.spacing, counter.spacing)
    counter = { kind = 'rate', arrival = sum(now, taken), spacing = rule.spacing }
  else
    return counter
  end
  write('counter', name, counter)
  return counter
end

local function admits(wish)
  local counter, quantity, rule = wish.counter, wish.quantity, wish.rule
  if counter.kind == 'rate' then
    local needed, too_much = product(counter.spacing, quantity)
    local arrival, too_late = sum(larger(counter.arrival, now), needed)
    return not (too_much or too_late) and not less(rule.burst, difference(arrival, now))
  end
  local total = sum(counter.held, quantity)
  if counter.kind == 'budget' then
    total = sum(sum(counter.spent, counter.held), quantity)
  end
  return not less(rule.limit, total)
end

-- Takes from a counter; what a call that holds it would hold.
local function take_from(counter, quantity, holding)
  if counter.kind == 'rate' then
    counter.arrival = sum(larger(counter.arrival, now), product(counter.spacing, quantity))
    return text(counter.spacing)
  elseif counter.kind == 'budget' then
    local where = holding and 'held' or 'spent'
    counter[where] = sum(counter[where], quantity)
    return string.format('%.0f', counter.start)
  end
  if holding then
    counter.held = sum(counter.held, quantity)
  end
  return ''
end

-- Charges what a call held of a counter as `used`; `expired` if it was charged as reserved before.
local function settle_share(share, used, expired)
  local name, reserved, kind, which = share[1], number(share[3]), share[4], share[5]
  local counter = read('counter', name)
  if counter then
    counter = copy(counter)
  elseif kind == 'rate' then
    counter = { kind = kind, arrival = now, spacing = number(which) }
  elseif kind == 'budget' then
    counter = { kind = kind, start = tonumber(which), spent = ZERO, held = ZERO }
  else
    counter = { kind = kind, held = ZERO }
  end
  if counter.kind == 'rate' and kind == 'rate' then
    if less(reserved, used) then
      local more = product(counter.spacing, difference(used, reserved))
      counter.arrival = sum(larger(counter.arrival, now), more)
    else
      local back = product(counter.spacing, difference(reserved, used))
      counter.arrival = difference(counter.arrival, back)
    end
  elseif counter.kind == 'budget' and kind == 'budget' and counter.start == tonumber(which) then
    local where = expired and 'spent' or 'held'
    counter[where] = difference(counter[where], reserved)
    counter.spent = sum(counter.spent, used)
  elseif counter.kind == 'open' and kind == 'open' and not expired then
    counter.held = difference(counter.held, reserved)
  end
  write('counter', name, counter)
end

-- Wishes -----------------------------------------------------------------------------------------------------------

local function rule_of(kept)
  local name, unit, per, shown = kept[1], kept[2], kept[3], kept[7]
  local spacing, burst, limit = number(kept[4]), number(kept[5]), number(kept[6])
  return { name = name, unit = unit, per = per, spacing = spacing, burst = burst, limit = limit, shown = shown }
end

-- The rules of the subjects, kept ones in place of the others. A counter that is named twice counts once.
local function wishes_of(subjects, amounts)
  local wishes, named = {}, {}
  local function add(subject, kept)
    local rule = rule_of(kept)
    local name = subject .. ' ' .. rule.name
    if named[name] then
      return
    end
    named[name] = true
    local quantity = number(amounts[rule.unit])
    if rule.per == 'moment' then
      quantity = number(amounts.requests)
      quantity = is_zero(quantity) and ZERO or ONE
    end
    local counter = copy(follow(name, rule))
    wishes[#wishes + 1] = { subject = subject, rule = rule, name = name, quantity = quantity, counter = counter }
  end
  for _, subject in ipairs(subjects) do
    local name, given = subject[1], subject[2]
    local kept, is_kept = read('rules', name) or {}, {}
    for _, rule in ipairs(kept) do
      is_kept[rule[1]] = true
      add(name, rule)
    end
    for _, rule in ipairs(given) do
      if not is_kept[rule[1]] then
        add(name, rule)
      end
    end
  end
  return wishes
end

local function all_admitted(wishes)
  for _, wish in ipairs(wishes) do
    if not admits(wish) then
      return false
    end
  end
  return true
end

local function decided(allowed, wishes)
  local shown = {}
  for i, wish in ipairs(wishes) do
    shown[i] = { wish.subject, wish.rule.shown, text(wish.quantity), write_text.counter(wish.counter) }
  end
  return { allowed = allowed, wishes = shown[1] and shown or nil }
end

local DONE, FULL, UNKNOWN = { allowed = true }, { refused = 'full' }, { refused = 'unknown' }

-- Sweeps out what is idle, when there is much of it. Whether there is room.
local function make_room(wishes)
  if count.counter + #wishes > max(sweep_at, FIRST_SWEEP) then
    read_all()
    for name, counter in pairs(each('counter')) do
      if is_idle(counter) then
        write('counter', name, false)
      end
    end
    sweep_at = min((count.counter + #wishes) * 2, CAPACITY)
    for _, wish in ipairs(wishes) do
      wish.counter = copy(read('counter', wish.name) or new_counter(wish.rule))
    end
  end
  return count.counter + #wishes <= CAPACITY
end

-- Takes all wishes or none; nothing if there is no room. What a call holds, for one that does.
local function admit(wishes, holding)
  if not make_room(wishes) then
    return nil
  end
  local allowed, shares = all_admitted(wishes), {}
  if allowed then
    for i, wish in ipairs(wishes) do
      local which = take_from(wish.counter, wish.quantity, holding)
      write('counter', wish.name, copy(wish.counter))
      shares[i] = { wish.name, wish.rule.unit, text(wish.quantity), wish.counter.kind, which }
    end
  end
  return decided(allowed, wishes), shares
end

-- Calls ------------------------------------------------------------------------------------------------------------

local function remember(id, call)
  write('call', id, call)
  if not less(now, call.due) then
    soon[#soon + 1] = id
  end
end

-- Charges a call as `used` says of each share, and has it stay in `stage`.
local function close(id, call, stage, used)
  for _, share in ipairs(call.shares) do
    settle_share(share, used(share), call.stage == 'expired')
  end
  if stage == 'expired' then
    remember(id, { stage = stage, due = sum(call.due, LATE), shares = call.shares, record = false })
  else
    remember(id, { stage = stage, due = sum(now, REMEMBERED), shares = {}, record = false })
  end
end

-- A later report takes the place of an earlier one.
local function add_row(id, record)
  if record then
    if not rows[id] then
      ended[#ended + 1] = id
    end
    rows[id] = record
  end
end

local function reserved(share)
  return number(share[3])
end

local function fall_due(id)
  local call = read('call', id)
  if not call or less(now, call.due) then
    return
  end
  if call.stage == 'open' then
    close(id, call, 'expired', reserved)
    add_row(id, call.record)
  else
    write('call', id, false)
  end
end

local function fall_due_all()
  local i = 1
  while soon[i] do
    fall_due(soon[i])
    i = i + 1
  end
  soon = {}
end

-- The clock went back: what is counted in time goes with it.
local function rewind(delta)
  read_all()
  for name, counter in pairs(each('counter')) do
    if counter.kind == 'rate' then
      local arrival = difference(counter.arrival, delta)
      write('counter', name, { kind = 'rate', arrival = arrival, spacing = counter.spacing })
    end
  end
  for id, call in pairs(each('call')) do
    local due = difference(call.due, delta)
    remember(id, { stage = call.stage, due = due, shares = call.shares, record = call.record })
  end
end

local function arrive()
  if less(now, seen) then
    rewind(difference(seen, now))
  else
    for _, member in ipairs(redis.call('ZRANGEBYLEX', DUE, '-', '(' .. padded(sum(now, ONE)))) do
      soon[#soon + 1] = member:sub(22)
    end
  end
end

-- Operations -------------------------------------------------------------------------------------------------------

local function is_nothing(amounts)
  return amounts.requests == '0' and amounts.tokens == '0' and amounts.nano_usd == '0'
end

local operate = {}

function operate.take(subjects, amounts)
  local wishes, looks = wishes_of(subjects, amounts), is_nothing(amounts)
  if looks then
    return decided(all_admitted(wishes), wishes)
  end
  local those = {}
  for _, wish in ipairs(wishes) do
    if wish.rule.per ~= 'moment' then
      those[#those + 1] = wish
    end
  end
  return admit(those, false) or FULL
end

function operate.reserve(subjects, amounts, id, expires_after, record)
  local wishes = wishes_of(subjects, amounts)
  if read('call', id) then
    return decided(true, wishes)
  elseif count.call >= CAPACITY then
    return FULL
  end
  local decision, shares = admit(wishes, true)
  if decision and decision.allowed then
    remember(id, { stage = 'open', due = sum(now, number(expires_after)), shares = shares, record = record })
  end
  return decision or FULL
end

-- The call has ended with `actual`; with nothing at all if it was never begun.
operate['end'] = function(id, actual, record)
  local call = read('call', id)
  if not call then
    return UNKNOWN
  elseif call.stage ~= 'closed' then
    close(id, call, 'closed', function(share)
      if not actual then
        return ZERO
      end
      return share[2] == 'requests' and number(share[3]) or number(actual[share[2]])
    end)
    add_row(id, record)
  end
  return DONE
end

function operate.expire()
  return DONE
end

function operate.adjust(id, name, is_less, amount)
  if read('call', id) then
    return DONE
  elseif count.call >= CAPACITY then
    return FULL
  end
  local counter = read('counter', name)
  if not counter or is_idle(counter) then
    return UNKNOWN
  end
  counter, amount = copy(counter), number(amount)
  local change = is_less and difference or sum
  if counter.kind == 'rate' then
    local time = product(counter.spacing, amount)
    counter.arrival = change(counter.arrival, time)
  elseif counter.kind == 'budget' then
    counter.spent = change(counter.spent, amount)
  end
  write('counter', name, counter)
  remember(id, { stage = 'closed', due = sum(now, REMEMBERED), shares = {}, record = false })
  return DONE
end

function operate.set_rules(subject, rules)
  if rules[1] and count.rules >= CAPACITY and not read('rules', subject) then
    return FULL
  end
  write('rules', subject, rules[1] and rules or false)
  return DONE
end

local outcomes = {}
arrive()
for i, operation in ipairs(cjson.decode(ARGV[2])) do
  fall_due_all()
  outcomes[i] = operate[operation[1]](unpack(operation, 2))
end

-- Everything is decided: from here on it is written ----------------------------------------------------------------

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
