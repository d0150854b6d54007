-- The counters of an account, each by a rule of a subject.

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
