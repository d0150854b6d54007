use auth::Auth;
use llm_proxy::LlmProxy;
use platform::{Configuration, ConfigurationError, Variables};
use supabase::Supabase;
use token::Authenticator;

use crate::cors::Cors;

/// One of each function, and what they share.
pub struct Functions {
    pub authenticator: Authenticator,
    pub supabase: Supabase,
    pub auth: Auth,
    pub llm: LlmProxy,
}

/// Reads everything before it reports, so that an operator mends all faults at once.
pub async fn load(variables: &dyn Variables) -> Result<(Functions, Cors), ConfigurationError> {
    let mut read = Configuration::of(variables);
    let token = token::Config::read(&mut read).await;
    let supabase = supabase::Config::read(&mut read).await;
    let llm = llm_proxy::Config::read(&mut read).await;
    let cors = Cors::read(&mut read).await;
    read.finish(|| {
        let (token, supabase) = (token?, Supabase::new(supabase?));
        let functions = Functions {
            auth: Auth::new(token.api_keys.clone(), supabase.clone()),
            authenticator: Authenticator::new(token),
            llm: LlmProxy::new(llm?, supabase.clone()),
            supabase,
        };
        Some((functions, cors?))
    })
}
