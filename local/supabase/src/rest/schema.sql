-- What can be asked for: functions and tables of the exposed schemas, and the settings of the roles.
select json_build_object(
  'functions', (
    select coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'name', p.proname,
      'arguments', (
        select coalesce(json_agg(json_build_object(
          'name', coalesce(p.proargnames[argument.position], ''),
          'type', format_type(argument.type, null)
        ) order by argument.position), '[]')
        from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as argument (type, position)
        where coalesce(p.proargmodes[argument.position], 'i') in ('i', 'b', 'v')
      ),
      'defaults', p.pronargdefaults,
      'returns', format_type(p.prorettype, null),
      'returns_rows', t.typtype = 'c' or p.prorettype = 'record'::regtype
        or coalesce(p.proargmodes && '{t,b,o}'::"char"[], false),
      'returns_set', p.proretset,
      'is_volatile', p.provolatile = 'v',
      'timeout', (
        select split_part(setting, '=', 2) from unnest(p.proconfig) setting where setting like 'statement_timeout=%'
      )
    )), '[]')
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    join pg_type t on t.oid = p.prorettype
    where p.prokind = 'f' and n.nspname = any ($1::text::text[]) and p.prorettype <> 'trigger'::regtype
  ),
  'tables', (
    select coalesce(json_agg(json_build_object(
      'schema', n.nspname,
      'name', c.relname,
      'columns', (
        select json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
        from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      )
    )), '[]')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'v', 'm', 'p', 'f') and n.nspname = any ($1::text::text[])
  ),
  'timeouts', (
    select coalesce(json_object_agg(rolname, split_part(setting, '=', 2)), '{}')
    from pg_roles, unnest(rolconfig) setting
    where setting like 'statement_timeout=%'
  )
)::text
