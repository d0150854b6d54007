// The headers of a message that leaves: `names` in one line of its head, separated by commas, then a line for each value.
//
// The host reads a record fastest whose keys it has seen before. Messages have few different lists of names, so there is one
// record per list, and each message overwrites its values. Who is given it copies it at once, as fetch and Response do.
const MAX_RECORDS = 64;
const records = new Map();

// Header lines from `first` on.
export function headers(lines, first) {
  const list = lines[first];
  const { names, record } = records.get(list) ?? learn(list);
  if (!record) return names.map((name, i) => [name, lines[first + 1 + i]]);
  for (let i = 0; i < names.length; i += 1) record[names[i]] = lines[first + 1 + i];
  return record;
}

function learn(list) {
  const names = list ? list.split(",") : [];
  // A name that comes twice, as `set-cookie` may, has no place in a record.
  const unique = new Set(names).size === names.length;
  const known = { names, record: unique ? JSON.parse(JSON.stringify(Object.fromEntries(names.map((n) => [n, ""])))) : null };
  if (records.size >= MAX_RECORDS) records.delete(records.keys().next().value);
  records.set(list, known);
  return known;
}
