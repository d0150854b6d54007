-- Of what users want to hear, and how.

create table public.notification_preferences (
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  event text not null check (event ~ '^[a-z_]{1,40}\.[a-z_]{1,40}$'),
  channel text not null check (channel in ('email', 'in_app')),
  enabled boolean not null,
  primary key (user_id, event, channel)
);
comment on table public.notification_preferences is
  'Of which events a user wants to hear, and by which channel; what is not there is as the event''s default.';

alter table public.notification_preferences enable row level security;
revoke all on table public.notification_preferences from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.notification_preferences to service_role;

grant select, insert (event, channel, enabled), update (enabled), delete
  on table public.notification_preferences to authenticated;
create policy "own preferences are visible" on public.notification_preferences
  for select to authenticated using (user_id = (select auth.uid()));
create policy "own preferences are made" on public.notification_preferences
  for insert to authenticated with check (user_id = (select auth.uid()));
create policy "own preferences are changed" on public.notification_preferences
  for update to authenticated using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
create policy "own preferences are deleted" on public.notification_preferences
  for delete to authenticated using (user_id = (select auth.uid()));
