// The real supabase-js against whatever SUPABASE_URL names: the local stack's surface, or a hosted project.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { createClient } from '@supabase/supabase-js';
import ws from 'ws';

const url = process.env.SUPABASE_URL;
const publishableKey = process.env.SUPABASE_PUBLISHABLE_KEY;
assert.ok(url && publishableKey, 'SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY must be set');

const isLocal = await fetch(`${url}/__local/counters`).then((answer) => answer.ok, () => false);
const password = 'correct horse battery';

function client() {
  return createClient(url, publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: ws }, // Node 20 has no WebSocket
  });
}

async function signedUp() {
  const supabase = client();
  const email = `client-test-${randomUUID()}@example.com`;
  const { data, error } = await supabase.auth.signUp({ email, password });
  assert.equal(error, null);
  assert.ok(data.session, 'sign-up signs in: e-mail confirmation is off');
  return { supabase, email, user: data.user, session: data.session };
}

function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
}

test('a new user is signed in with an organization of their own', async () => {
  const { user, session } = await signedUp();
  assert.equal(user.role, 'authenticated');
  const { sub, iss, aud, role, app_metadata } = claims(session.access_token);
  assert.deepEqual({ sub, iss, aud, role }, {
    sub: user.id, iss: `${url}/auth/v1`, aud: 'authenticated', role: 'authenticated',
  });
  assert.match(app_metadata.org_id, /^[0-9a-f-]{36}$/);
  assert.deepEqual([app_metadata.roles, app_metadata.tier], [['owner'], 'T1']);
});

test('signing up twice is refused', async () => {
  const { email } = await signedUp();
  const { error } = await client().auth.signUp({ email: email.toUpperCase(), password });
  assert.equal(error.code, 'user_already_exists');
  assert.equal(error.status, 422);
});

test('a weak password is refused with the reason', async () => {
  const { error } = await client().auth.signUp({ email: `client-test-${randomUUID()}@example.com`, password: 'x' });
  assert.equal(error.name, 'AuthWeakPasswordError');
  assert.deepEqual(error.reasons, ['length']);
});

test('a password signs in, a wrong one does not, and an unknown account looks the same', async () => {
  const { email, user } = await signedUp();
  const { data } = await client().auth.signInWithPassword({ email, password });
  assert.equal(data.user.id, user.id);
  for (const wrong of [{ email, password: 'wrong password' }, { email: `x${email}`, password }]) {
    const { error } = await client().auth.signInWithPassword(wrong);
    assert.deepEqual([error.status, error.code, error.message], [400, 'invalid_credentials', 'Invalid login credentials']);
  }
});

test('getUser and getClaims agree on who is signed in', async () => {
  const { supabase, email, user } = await signedUp();
  const answer = await supabase.auth.getUser();
  assert.equal(answer.error, null);
  assert.deepEqual([answer.data.user.id, answer.data.user.email], [user.id, email]);
  const verified = await supabase.auth.getClaims(); // fetches the JWKS and verifies with WebCrypto
  assert.equal(verified.error, null);
  assert.equal(verified.data.claims.sub, user.id);
});

test('a refresh rotates the token and keeps the session', async () => {
  const { supabase, session } = await signedUp();
  const { data, error } = await supabase.auth.refreshSession();
  assert.equal(error, null);
  assert.notEqual(data.session.refresh_token, session.refresh_token);
  assert.equal(claims(data.session.access_token).session_id, claims(session.access_token).session_id);
});

test('two tabs that refresh at once both stay signed in', async () => {
  const { session } = await signedUp();
  const answers = await Promise.all([1, 2].map(() => client().auth.refreshSession(session)));
  assert.deepEqual(answers.map(({ error }) => error), [null, null]);
});

test('an unknown refresh token is refused', async () => {
  const { error } = await client().auth.refreshSession({ refresh_token: 'unknown' });
  assert.deepEqual([error.status, error.code], [400, 'refresh_token_not_found']);
});

test('a stolen refresh token ends the whole session', { skip: !isLocal && 'takes a clock that can be moved' }, async (t) => {
  const { session } = await signedUp();
  const second = (await client().auth.refreshSession(session)).data.session;
  const third = (await client().auth.refreshSession(second)).data.session;
  const moveClock = (offset_seconds) =>
    fetch(`${url}/__local/clock`, { method: 'POST', body: JSON.stringify({ offset_seconds }) });
  t.after(() => moveClock(0));
  await moveClock(60);
  for (const token of [session, third]) {
    const { error } = await client().auth.refreshSession(token);
    assert.deepEqual([error.status, error.code], [400, 'refresh_token_already_used']);
  }
});

test('a function in schema api is called as the user', async () => {
  const { supabase, user } = await signedUp();
  const api = supabase.schema('api');
  const ready = await client().schema('api').rpc('ready');
  assert.deepEqual(ready.data, { ok: true });
  const digest = randomUUID().replaceAll('-', '').repeat(2);
  const payload = { name: 'laptop', digest, pepper_version: 1, prefix: 'qlp_test_ab', scopes: ['llm'] };
  const created = await api.rpc('create_key', { payload });
  assert.equal(created.error, null);
  assert.equal(created.data.user_id, user.id);
  const listed = await api.rpc('list_keys', { payload: {} });
  assert.deepEqual(listed.data.keys.map((key) => key.id), [created.data.id]);
  assert.equal(listed.data.keys[0].digest, undefined);
});

test('errors of functions arrive with code and status', async () => {
  const { supabase } = await signedUp();
  const api = supabase.schema('api');
  const refused = await api.rpc('usage_summary', { payload: { group_by: 'colour' } });
  assert.deepEqual([refused.status, refused.error.code, refused.error.details], [400, 'PT400', 'group_by']);
  const forbidden = await api.rpc('list_models', { payload: {} });
  assert.deepEqual([forbidden.status, forbidden.error.code], [403, '42501']);
  const missing = await api.rpc('nothing', { payload: {} });
  assert.deepEqual([missing.status, missing.error.code], [404, 'PGRST202']);
});

test('a table shows the rows of the user and no others', async () => {
  const [mine, theirs] = [await signedUp(), await signedUp()];
  const users = await mine.supabase.from('users').select('id');
  assert.deepEqual(users.data, [{ id: mine.user.id }]);
  const other = await mine.supabase.from('users').select('id').eq('id', theirs.user.id);
  assert.deepEqual(other.data, []);
  const single = await mine.supabase.from('organization_members').select('role,user_id').single();
  assert.deepEqual(single.data, { role: 'owner', user_id: mine.user.id });
  const none = await mine.supabase.from('users').select('id').eq('id', theirs.user.id).single();
  assert.equal(none.error.code, 'PGRST116');
  const counted = await mine.supabase.from('models').select('alias', { count: 'exact' }).order('alias').limit(1);
  assert.equal(counted.data.length, 1);
  assert.ok(counted.count >= 1);
  const anonymous = await client().from('users').select('id');
  assert.deepEqual([anonymous.status, anonymous.error.code], [401, '42501']);
});

test('signing out ends the session', async () => {
  const { supabase, session } = await signedUp();
  assert.equal((await supabase.auth.signOut()).error, null);
  const user = await client().auth.getUser(session.access_token);
  assert.equal(user.error.name, 'AuthSessionMissingError');
  const refreshed = await client().auth.refreshSession(session);
  assert.equal(refreshed.error.code, 'refresh_token_not_found');
});

test('signing out elsewhere keeps this session', async () => {
  const { supabase, email } = await signedUp();
  const elsewhere = client();
  await elsewhere.auth.signInWithPassword({ email, password });
  assert.equal((await supabase.auth.signOut({ scope: 'others' })).error, null);
  assert.equal((await supabase.auth.getUser()).error, null);
  assert.notEqual((await elsewhere.auth.getUser()).error, null);
});

test('a wrong API key is refused', async () => {
  const answer = await fetch(`${url}/auth/v1/settings`, { headers: { apikey: 'sb_publishable_wrong' } });
  assert.equal(answer.status, 401);
});
