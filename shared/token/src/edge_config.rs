use platform::Configuration;
use secrecy::ExposeSecret;

use crate::{ServiceKeys, SigningKeys};

const MAX_AUDIENCES: usize = 32;
const MAX_AUDIENCE_BYTES: usize = 64;

/// What the edge itself signs, and which services it believes.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// The edge's name: `iss` of its tokens for services, `aud` of services' tokens for it.
    pub issuer: Option<String>,
    /// The edge's own keys. Without them, and without the legacy secret, it issues no tokens.
    pub signing_keys: Option<SigningKeys>,
    /// The services for which tokens may be had.
    pub service_audiences: Vec<String>,
    /// The keys of services that call the edge.
    pub service_keys: ServiceKeys,
}

impl EdgeConfig {
    /// Reads `EDGE_SIGNING_KEYS`, `EDGE_ISSUER`, `SERVICE_AUDIENCES` and `SERVICE_KEYS`. `issuer` and `audience` are those
    /// of the users' access tokens: nothing else may have their names.
    pub(crate) async fn read(
        configuration: &mut Configuration<'_>,
        issuer: Option<&str>,
        audience: &str,
    ) -> Option<Self> {
        let signing_keys = read_signing_keys(configuration).await;
        let service_audiences = read_audiences(configuration, audience).await;
        let service_keys = read_service_keys(configuration, issuer).await;
        let edge = read_issuer(configuration, issuer).await;
        let (signing_keys, service_audiences, service_keys, edge) =
            (signing_keys?, service_audiences?, service_keys?, edge?);
        if !service_audiences.is_empty() && signing_keys.is_none() {
            return configuration.fault("EDGE_SIGNING_KEYS", "must be set: SERVICE_AUDIENCES need a key of the edge");
        }
        if edge.is_none() && !(service_audiences.is_empty() && service_keys.is_empty()) {
            return configuration.fault("EDGE_ISSUER", "must be set: services know the edge by it");
        }
        if edge.as_deref().is_some_and(|edge| service_keys.knows(edge)) {
            return configuration.fault("SERVICE_KEYS", "must not name the edge's own issuer");
        }
        Some(Self { issuer: edge, signing_keys, service_audiences, service_keys })
    }
}

/// The outer `None` is a fault, the inner one means that it is not set; likewise below.
async fn read_signing_keys(configuration: &mut Configuration<'_>) -> Option<Option<SigningKeys>> {
    let Some(document) = configuration.optional_secret("EDGE_SIGNING_KEYS").await else { return Some(None) };
    match SigningKeys::parse(document.expose_secret().as_bytes()) {
        Ok(keys) => Some(Some(keys)),
        Err(error) => configuration.fault("EDGE_SIGNING_KEYS", &error.to_string()),
    }
}

async fn read_issuer(configuration: &mut Configuration<'_>, users: Option<&str>) -> Option<Option<String>> {
    let issuer = configuration.optional("EDGE_ISSUER").await;
    if issuer.is_some() && issuer.as_deref() == users {
        return configuration.fault("EDGE_ISSUER", "must differ from the issuer of the users' access tokens");
    }
    Some(issuer)
}

async fn read_audiences(configuration: &mut Configuration<'_>, users: &str) -> Option<Vec<String>> {
    let listed = configuration.optional("SERVICE_AUDIENCES").await.unwrap_or_default();
    let names: Vec<_> = listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_name = |name: &String| {
        name.len() <= MAX_AUDIENCE_BYTES && name != users && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if names.len() > MAX_AUDIENCES || !names.iter().all(is_name) {
        return configuration.fault(
            "SERVICE_AUDIENCES",
            "must list at most 32 names of 1 to 64 visible characters, and not the audience of the users' tokens",
        );
    }
    Some(names)
}

async fn read_service_keys(configuration: &mut Configuration<'_>, users: Option<&str>) -> Option<ServiceKeys> {
    let Some(document) = configuration.optional("SERVICE_KEYS").await else { return Some(ServiceKeys::default()) };
    match ServiceKeys::parse(document.as_bytes()) {
        Ok(keys) if users.is_some_and(|users| keys.knows(users)) => {
            configuration.fault("SERVICE_KEYS", "must not name the issuer of the users' access tokens")
        }
        Ok(keys) => Some(keys),
        Err(error) => configuration.fault("SERVICE_KEYS", &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use platform::fakes::Host;

    use crate::Config;

    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"e1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}]}"#;
    const SERVICE: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"s1","iss":"ISSUER",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    fn load(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let host = Host::new()
            .variable("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_p")
            .variable("SUPABASE_SECRET_KEY", "sb_secret_s")
            .variable("SUPABASE_URL", "https://x.supabase.co");
        let host = variables.iter().fold(host, |host, (name, value)| host.variable(name, value));
        host.block_on(Config::load(&host.variables)).map_err(|error| error.faults)
    }

    #[test]
    fn nothing_is_needed_and_everything_can_be_set() {
        let none = load(&[]).unwrap().edge;
        assert!(none.signing_keys.is_none() && none.issuer.is_none() && none.service_keys.is_empty());
        let edge = load(&[
            ("EDGE_SIGNING_KEYS", KEYS),
            ("EDGE_ISSUER", "https://edge.test"),
            ("SERVICE_AUDIENCES", "pool, agents,"),
            ("SERVICE_KEYS", &SERVICE.replace("ISSUER", "pool")),
        ])
        .unwrap()
        .edge;
        assert_eq!(
            (edge.issuer.as_deref(), edge.service_audiences),
            (Some("https://edge.test"), vec!["pool".into(), "agents".into()])
        );
        assert!(edge.signing_keys.is_some() && edge.service_keys.knows("pool"));
    }

    #[test]
    fn what_does_not_go_together_is_a_fault() {
        let named = |variables: &[(&str, &str)]| load(variables).unwrap_err().remove(0);
        let issuer = ("EDGE_ISSUER", "https://edge.test");
        assert!(named(&[("EDGE_SIGNING_KEYS", "{}")]).starts_with("EDGE_SIGNING_KEYS is not a JSON Web Key Set"));
        assert!(named(&[("SERVICE_AUDIENCES", "pool"), issuer]).starts_with("EDGE_SIGNING_KEYS must be set"));
        assert!(
            named(&[("SERVICE_AUDIENCES", "pool"), ("EDGE_SIGNING_KEYS", KEYS)]).starts_with("EDGE_ISSUER must be set")
        );
        assert!(named(&[("EDGE_ISSUER", "https://x.supabase.co/auth/v1")]).starts_with("EDGE_ISSUER must differ"));
        for audiences in ["authenticated", "a b", "ü", &"x".repeat(65)] {
            assert!(
                named(&[("SERVICE_AUDIENCES", audiences)]).starts_with("SERVICE_AUDIENCES must list"),
                "{audiences}"
            );
        }
        for taken in ["https://edge.test", "https://x.supabase.co/auth/v1"] {
            let keys = SERVICE.replace("ISSUER", taken);
            assert!(named(&[("SERVICE_KEYS", &keys), issuer]).starts_with("SERVICE_KEYS must not name"), "{taken}");
        }
        assert!(named(&[("SERVICE_KEYS", &SERVICE.replace("ISSUER", "pool"))]).starts_with("EDGE_ISSUER must be set"));
    }
}
