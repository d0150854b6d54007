-- What can be done to an account.

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
  remember(id, { stage = 'closed', due = sum(now, CORRECTION_REMEMBERED), shares = {}, record = false })
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
