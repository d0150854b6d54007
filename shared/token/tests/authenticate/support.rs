use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue};
use jwt_compact::alg::{Es256, SigningKey};
use jwt_compact::jwk::JsonWebKey;
use jwt_compact::{Algorithm, AlgorithmSignature};
use platform::Context;
use platform::fakes::Host;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use signature::PureRust;
use token::{Authenticator, Caller, Config, EdgeConfig, Jwks, Peppers, Project, Reason, Refusal, Sent, SigningKeys};

pub const USER: &str = "00000000-0000-4000-8000-000000000001";
pub const ISSUER: &str = "https://x.supabase.co/auth/v1";
/// The fake clock's beginning, 2026-01-01T00:00:00Z.
pub const BEGIN: i64 = 1_767_225_600;

/// A token that openssl signed with a key nobody has any more; valid in the fake clock's first hour.
pub const RS256_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL3guc3VwYWJhc2UuY28vYXV0aC92MSIsInN1YiI6IjAwMDAwMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMSIsImF1ZCI6ImF1dGhlbnRpY2F0ZWQiLCJyb2xlIjoiYXV0aGVudGljYXRlZCIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI5MjAwfQ.Z6B2HRDPs7GIPkkxWPCRI4Mr-fSjTn8_xxgrm2LCW0yXS8VnCfSO1YDfpqcBO-RPQtnB-cRsJzTeAfjSbn3H93QAdqUtzjbZkvmNuTtKJ7qHSDbFWF3xaRxrsvbi3lO_2e0H_WL7t0vs_1gSlve0y3Imv1Pvznew6OwGHWVarDl8VEdvmeqse6cd9znzudvSh4rLuvQlE_r9ip5oNciPrLjXiBa2zy4fZW33VWvl9EPXp8dH5IHogv15Abgzuw6142xQaPZ-YxjHVUI2nMaHCCb6QFNZaOjbw8hU_iC5w8mxWJgRHWnjvyLPLg1Pe-AoS3G7hiH9shEaOPFHXF6bxA";
pub const RS256_MODULUS: &str = "wVVvAGT2O8hybYC8ODIHZlNgYV2xoz1LNBwYvFyt6-lsn3zk1dYefIX6Lz0D9aTlGYi6A3qI2Je1VNJhQuIU2-Hjpm0v3lCRyfKP3IA-QsQlovZQcHGNz0f3XyFYoP6yeRVjWA-FrZRCzNFcstW5un41w_RqpcP15tGpDPBtJAE8Zj3WagmTXSsF1JOWOUsqrCjpGPR-kbV0UO5mhvMS5kqb1RE3MU8SQ3SPKzK97xZDbDxgzROTiM5O-l_U0QwnU1y_bbGD1xXnQWfuIWU2IdgRn8Kc4Ye7Q7jlZ0SggF9XKc-qv1TQ2ao9IR8dd2vFzir6NOnyCKYiQ8BZDD_5rQ";

type P256SigningKey = <Es256 as Algorithm>::SigningKey;

/// An ES256 key of an issuer.
pub struct Key {
    pub id: String,
    key: P256SigningKey,
}

impl Key {
    /// The key that `seed` stands for, published as `id`.
    pub fn new(id: &str, seed: u8) -> Self {
        Self { id: id.to_owned(), key: <P256SigningKey as SigningKey<Es256>>::from_slice(&[seed; 32]).unwrap() }
    }

    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(JsonWebKey::from(&self.key.to_verifying_key())).unwrap();
        jwk.as_object_mut().unwrap().extend([
            ("kid".to_owned(), json!(self.id)),
            ("alg".to_owned(), json!("ES256")),
            ("use".to_owned(), json!("sig")),
            ("key_ops".to_owned(), json!(["verify"])),
        ]);
        jwk
    }

    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "ES256", "kid": self.id, "typ": "JWT"}), claims)
    }

    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let input = signing_input(header, claims);
        let signature = Es256.sign(&self.key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_bytes()))
    }
}

pub fn signing_input(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// The claims of Supabase Auth for an hour from the fake clock's beginning.
pub fn claims() -> Value {
    claims_at(BEGIN)
}

pub fn claims_at(second: i64) -> Value {
    json!({"iss": ISSUER, "sub": USER, "aud": "authenticated", "role": "authenticated", "iat": second,
           "exp": second + 3600, "email": "a@x.test", "session_id": "s1", "aal": "aal1", "is_anonymous": false,
           "app_metadata": {"org_id": "00000000-0000-4000-8000-00000000000a", "roles": ["owner"], "tier": "T2"},
           "user_metadata": {"roles": ["owner"], "tier": "T3"}})
}

/// A host whose signatures are really checked.
pub fn context(host: &Host) -> Context {
    Context { signatures: Arc::new(PureRust), ..host.context() }
}

/// What the edge calls itself towards services.
pub const EDGE: &str = "https://edge.test";

/// An edge with one key of its own and one service to issue tokens for. The key is RFC 7515's, appendix A.3.
pub fn edge_config() -> EdgeConfig {
    let keys = json!([{"kty": "EC", "crv": "P-256", "kid": "e1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]);
    EdgeConfig {
        issuer: Some(EDGE.into()),
        signing_keys: Some(SigningKeys::parse(keys.to_string().as_bytes()).unwrap()),
        service_audiences: vec!["pool".into()],
        ..EdgeConfig::default()
    }
}

pub fn config(jwks: Jwks) -> Config {
    Config {
        issuer: ISSUER.into(),
        audience: "authenticated".into(),
        jwks,
        hs256_secret: None,
        project: None,
        edge: EdgeConfig::default(),
    }
}

/// A project without API keys and cookie sessions.
pub fn project() -> Project {
    let supabase = supabase::Config {
        url: "https://x.supabase.co".parse().unwrap(),
        publishable_key: "sb_publishable_p".into(),
        secret_key: Some("sb_secret_s".into()),
    };
    Project { supabase, peppers: None, sessions: None }
}

/// A project whose API keys are stored under 32 zero bytes.
pub fn with_pepper() -> Project {
    Project { peppers: Peppers::parse(&"00".repeat(32)), ..project() }
}

/// An authenticator that has these keys and asks nobody.
pub fn inline(keys: &[Value]) -> Authenticator {
    Authenticator::new(inline_config(keys, None))
}

pub fn inline_config(keys: &[Value], hs256_secret: Option<&str>) -> Config {
    let keys = token::KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
    Config { hs256_secret: hs256_secret.map(SecretString::from), ..config(Jwks::Inline(keys)) }
}

/// An authenticator that fetches its keys.
pub fn remote() -> Authenticator {
    Authenticator::new(config(Jwks::Url("https://x.supabase.co/auth/v1/.well-known/jwks.json".parse().unwrap())))
}

pub fn bearer(token: &str) -> HeaderMap {
    header("authorization", &format!("Bearer {token}"))
}

pub fn header(name: &'static str, value: &str) -> HeaderMap {
    [(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())].into_iter().collect()
}

/// Authenticates on a host of its own.
pub fn authenticate(authenticator: &Authenticator, token: &str) -> Result<Caller, Refusal> {
    let host = Host::new();
    host.block_on(authenticator.authenticate(sent(&bearer(token)), &context(&host)))
}

/// What a `POST` with these headers tells.
pub fn sent(headers: &HeaderMap) -> Sent<'_> {
    Sent { method: &http::Method::POST, headers, address: None }
}

pub fn mac(secret: &[u8], header: &str, claims: &Value) -> String {
    let input = signing_input(header, &claims.to_string());
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(&input);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Why `token` is refused.
pub fn reason(authenticator: &Authenticator, token: &str) -> Reason {
    match authenticate(authenticator, token) {
        Err(Refusal::Invalid(reason)) => reason,
        other => panic!("{other:?}"),
    }
}
