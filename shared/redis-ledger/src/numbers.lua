-- Whole numbers from 0 to 2^64 - 1, as `shared/quota` counts with them: what would be more stays there, what would be
-- less stays at 0. Lua's own are exact to 2^53 only, so each is a pair: { tens of billions, the rest }. A pair never
-- changes.
local floor, max, min = math.floor, math.max, math.min
local BASE, LIMB = 1e10, 1e5

local function number(text)
  if #text <= 10 then
    return { 0, tonumber(text) }
  end
  return { tonumber(text:sub(1, -11)), tonumber(text:sub(-10)) }
end

local ZERO, ONE, MOST = { 0, 0 }, { 0, 1 }, number('18446744073709551615')

local function text(n)
  if n[1] == 0 then
    return string.format('%.0f', n[2])
  end
  return string.format('%.0f%010.0f', n[1], n[2])
end

-- With 20 digits: such texts sort as the numbers do.
local function padded(n)
  return string.format('%010.0f%010.0f', n[1], n[2])
end

local function less(a, b)
  return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
end

local function is_zero(n)
  return n[1] == 0 and n[2] == 0
end

-- At most MOST, and whether it would be more.
local function bounded(n)
  if less(MOST, n) then
    return MOST, true
  end
  return n, false
end

local function sum(a, b)
  local high, low = a[1] + b[1], a[2] + b[2]
  if low >= BASE then
    high, low = high + 1, low - BASE
  end
  return bounded({ high, low })
end

local function difference(a, b)
  if less(a, b) then
    return ZERO
  end
  local high, low = a[1] - b[1], a[2] - b[2]
  if low < 0 then
    high, low = high - 1, low + BASE
  end
  return { high, low }
end

local function larger(a, b)
  return less(a, b) and b or a
end

local function limbs(n)
  return { n[2] % LIMB, floor(n[2] / LIMB), n[1] % LIMB, floor(n[1] / LIMB) }
end

-- All of a product: eight limbs of five digits, the lowest first.
local function long_product(a, b)
  local out, x, y = { 0, 0, 0, 0, 0, 0, 0, 0, 0 }, limbs(a), limbs(b)
  for i = 1, 4 do
    for j = 1, 4 do
      out[i + j - 1] = out[i + j - 1] + x[i] * y[j]
    end
  end
  for i = 1, 8 do
    out[i + 1] = out[i + 1] + floor(out[i] / LIMB)
    out[i] = out[i] % LIMB
  end
  return out
end

local function product(a, b)
  local limb = long_product(a, b)
  if limb[5] + limb[6] + limb[7] + limb[8] > 0 then
    return MOST, true
  end
  return bounded({ limb[3] + limb[4] * LIMB, limb[1] + limb[2] * LIMB })
end

-- n * to / from, rounded up; the product may be larger than a number.
local function scaled(n, to, from)
  from = larger(from, ONE)
  local limb, digits, rest, quotient = long_product(n, to), '', ZERO, ''
  for i = 8, 1, -1 do
    digits = digits .. string.format('%05.0f', limb[i])
  end
  for digit in digits:gmatch('%d') do
    local low = rest[2] * 10 + tonumber(digit)
    rest = { rest[1] * 10 + floor(low / BASE), low % BASE }
    local times = 0
    while not less(rest, from) do
      rest, times = difference(rest, from), times + 1
    end
    quotient = quotient .. times
  end
  if quotient:sub(1, -21):find('[1-9]') then
    return MOST
  end
  local whole = bounded(number(quotient:sub(-20)))
  if not is_zero(rest) then
    whole = sum(whole, ONE)
  end
  return whole
end

-- Whole seconds in nanoseconds: a number of Lua's own, exact.
local function seconds(n)
  return n[1] * 10 + floor(n[2] / 1e9)
end

-- The server's clock in nanoseconds since the epoch; `given` by tests alone.
local function clock(given)
  if given then
    return number(given)
  end
  local time = redis.call('TIME')
  local second = tonumber(time[1])
  return { floor(second / 10), second % 10 * 1e9 + tonumber(time[2]) * 1e3 }
end

-- So many milliseconds must a key be kept at least, of which nothing is used after `second`. Nothing is kept for more
-- than 400 days.
local function keep_for(now, second)
  return max(min(second - seconds(now) + 3600, 400 * 86400), 3600) * 1000
end
