//! The variables of Bedrock.

use platform::Configuration;
use url::Url;

use super::{AccessKey, Bedrock};
use crate::config::api_key;

impl Bedrock {
    /// Bedrock, if a credential for it is set. An API key goes before an access key, as in Amazon's SDKs.
    pub(crate) async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let key = api_key(read, "AWS_BEARER_TOKEN_BEDROCK").await;
        let access_key = access_key(read).await;
        let (region, base) = (region(read).await, read.optional_url("BEDROCK_BASE_URL").await);
        if key.is_none() && access_key.is_none() {
            return None;
        }
        let Some(region) = region else {
            return read.fault("AWS_BEDROCK_REGION", "or AWS_REGION must name a region such as us-east-1");
        };
        let base = base.or_else(|| Url::parse(&format!("https://bedrock-runtime.{region}.amazonaws.com")).ok())?;
        Some(match key {
            Some(key) => Self::with_key(&base, key),
            None => Self::with_access_key(&base, access_key?, region),
        })
    }
}

/// Half a credential is a fault.
async fn access_key(read: &mut Configuration<'_>) -> Option<AccessKey> {
    let (id, secret) = (api_key(read, "AWS_ACCESS_KEY_ID").await, api_key(read, "AWS_SECRET_ACCESS_KEY").await);
    let session_token = api_key(read, "AWS_SESSION_TOKEN").await;
    match (id, secret) {
        (Some(id), Some(secret)) => Some(AccessKey { id, secret, session_token }),
        (Some(_), None) => read.fault("AWS_SECRET_ACCESS_KEY", "must be set beside AWS_ACCESS_KEY_ID"),
        (None, Some(_)) => read.fault("AWS_ACCESS_KEY_ID", "must be set beside AWS_SECRET_ACCESS_KEY"),
        (None, None) if session_token.is_some() => {
            read.fault("AWS_ACCESS_KEY_ID", "and AWS_SECRET_ACCESS_KEY must be set beside AWS_SESSION_TOKEN")
        }
        (None, None) => None,
    }
}

/// It becomes part of a host's name.
async fn region(read: &mut Configuration<'_>) -> Option<String> {
    let of_bedrock = read.optional("AWS_BEDROCK_REGION").await;
    let region = if of_bedrock.is_some() { of_bedrock } else { read.optional("AWS_REGION").await };
    region.filter(|region| {
        !region.is_empty()
            && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use platform::ConfigurationError;
    use platform::fakes::{Host, block_on};

    use super::*;
    use crate::catalog::Route;
    use crate::endpoint::Endpoint;
    use crate::model_request::ModelRequest;
    use crate::providers::Protocol as _;

    fn load(variables: &[(&str, &str)]) -> Result<Bedrock, ConfigurationError> {
        let host = Host::new();
        for (name, value) in variables {
            host.variables.set(name, value);
        }
        let mut read = Configuration::of(&host.variables);
        let bedrock = block_on(Bedrock::read(&mut read));
        read.finish(|| bedrock)
    }

    #[test]
    fn bedrock_is_there_with_either_credential_and_its_region() {
        let completion = Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#);
        let completion = ModelRequest::parse(Endpoint::ChatCompletions, completion).unwrap();
        let asked = |variables: &[(&str, &str)]| {
            let request = load(variables)
                .unwrap()
                .request(&completion, &Route::to("bedrock", "m"), &Host::new().context())
                .unwrap();
            let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
            (request.uri().to_string(), authorization)
        };
        let (key, id) = (("AWS_BEARER_TOKEN_BEDROCK", "b-key"), ("AWS_ACCESS_KEY_ID", "AKID"));
        let secret = ("AWS_SECRET_ACCESS_KEY", "secret");
        let of_region = |region: &str| format!("https://bedrock-runtime.{region}.amazonaws.com/model/m/converse");
        assert_eq!(asked(&[key, ("AWS_REGION", "us-east-1")]), (of_region("us-east-1"), "Bearer b-key".to_owned()));
        let both = [key, id, secret, ("AWS_REGION", "us-east-1"), ("AWS_BEDROCK_REGION", "eu-central-1")];
        assert_eq!(asked(&both), (of_region("eu-central-1"), "Bearer b-key".to_owned()));
        let (uri, authorization) = asked(&[id, secret, ("AWS_REGION", "eu-west-1"), ("AWS_SESSION_TOKEN", "token")]);
        assert_eq!(uri, of_region("eu-west-1"));
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/bedrock/aws4_request"), "{authorization}");
        let elsewhere = [key, ("AWS_REGION", "eu-west-1"), ("BEDROCK_BASE_URL", "http://127.0.0.1:9000/")];
        assert_eq!(asked(&elsewhere).0, "http://127.0.0.1:9000/model/m/converse");
    }

    #[test]
    fn half_a_credential_for_bedrock_is_a_fault_by_name() {
        let region = ("AWS_REGION", "us-east-1");
        let (key, id) = (("AWS_BEARER_TOKEN_BEDROCK", "b-key"), ("AWS_ACCESS_KEY_ID", "AKID"));
        for (variables, expected) in [
            (&[region, id][..], "AWS_SECRET_ACCESS_KEY"),
            (&[region, ("AWS_SECRET_ACCESS_KEY", "secret")], "AWS_ACCESS_KEY_ID"),
            (&[region, ("AWS_SESSION_TOKEN", "token")], "AWS_ACCESS_KEY_ID"),
            (&[region, key, id], "AWS_SECRET_ACCESS_KEY"),
            (&[key], "AWS_BEDROCK_REGION"),
            (&[key, ("AWS_REGION", "us-east-1/x")], "AWS_BEDROCK_REGION"),
            (&[region, key, ("BEDROCK_BASE_URL", "bedrock")], "BEDROCK_BASE_URL"),
        ] {
            let error = load(variables).err().unwrap();
            let names: Vec<_> = error.faults.iter().filter_map(|fault| fault.split(' ').next()).collect();
            assert_eq!(names, [expected], "{variables:?}");
        }
        for nothing in [&[][..], &[region]] {
            assert_eq!(
                load(nothing).err().unwrap().faults,
                [""; 0],
                "without a credential there is no Bedrock, and no fault"
            );
        }
    }
}
