-- Model aliases to start with. What the price table knows has no price here; the others are billionths of a US dollar per
-- token.

insert into public.models (alias) values ('default'), ('sim-1'), ('claude-sonnet-4-5') on conflict do nothing;

insert into public.model_routes
  (alias, position, provider, model, input_nano_usd, output_nano_usd, cached_input_nano_usd)
values
  ('default', 1, 'together', 'meta-llama/Llama-3.3-70B-Instruct-Turbo', null, null, null),
  ('default', 2, 'openai', 'gpt-4o-mini', null, null, null),
  ('default', 3, 'azure', 'gpt-4o-mini', null, null, null),
  ('default', 4, 'anthropic', 'claude-haiku-4-5', null, null, null),
  ('default', 5, 'ollama', 'llama3.2', 0, 0, 0),
  ('default', 6, 'simulator', 'sim-1', 100, 400, 50),
  ('sim-1', 1, 'simulator', 'sim-1', 100, 400, 50),
  ('claude-sonnet-4-5', 1, 'bedrock', 'global.anthropic.claude-sonnet-4-5-20250929-v1:0', null, null, null)
on conflict do nothing;
