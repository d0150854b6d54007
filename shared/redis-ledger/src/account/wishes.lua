-- What an operation wishes of the counters.

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
