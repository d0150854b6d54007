-- How long an answer can become bounds what a call could cost, which is reserved before it begins.

alter table public.model_routes add column max_output_tokens bigint check (max_output_tokens > 0);
comment on column public.model_routes.max_output_tokens is 'The longest answer of the model in tokens; null means unknown.';
