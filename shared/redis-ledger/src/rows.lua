-- The oldest rows for the database, each after its id.
--
-- KEYS: the rows
-- ARGV: how many at most
local rows = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[1])) do
  rows[#rows + 1] = entry[1]
  rows[#rows + 1] = entry[2][2]
end
return rows
