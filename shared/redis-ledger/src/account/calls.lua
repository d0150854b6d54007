-- Calls that are remembered, and the clock.

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
