-- Model aliases to start with. What the price table knows has no price here; the others are billionths of a US dollar per
-- token.

insert into public.models (alias) values ('default'), ('sim-1') on conflict do nothing;

insert into public.model_routes
  (alias, position, provider, model, input_nano_usd, output_nano_usd, cached_input_nano_usd)
values
  ('default', 1, 'together', 'meta-llama/Llama-3.3-70B-Instruct-Turbo', null, null, null),
  ('default', 2, 'openai', 'gpt-4o-mini', null, null, null),
  ('default', 3, 'ollama', 'llama3.2', 0, 0, 0),
  ('default', 4, 'simulator', 'sim-1', 100, 400, 50),
  ('sim-1', 1, 'simulator', 'sim-1', 100, 400, 50)
on conflict do nothing;
