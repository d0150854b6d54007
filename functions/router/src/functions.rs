use std::sync::Arc;

use auth::Auth;
use front_door::{Function, segments};
use llm_proxy::LlmProxy;
use ops::Ops;
use platform::{Configuration, Context, Request, Response};
use problem::Problem;
use rate_limit::RateLimit;
use supabase::Supabase;
use token::Authenticator;

/// One of each function. They share one authenticator, and with it the tokens that it has verified.
pub struct Functions {
    pub auth: Auth,
    pub llm: LlmProxy,
    pub limits: RateLimit,
    pub ops: Ops,
}

impl Function for Functions {
    async fn read(read: &mut Configuration<'_>) -> Option<Self> {
        let token = token::Config::read(read).await;
        let supabase = supabase::Config::read(read).await;
        let llm = llm_proxy::Config::read(read).await;
        let limits = limits::Config::read(read).await;
        let (token, supabase, limits) = (token?, Supabase::new(supabase?), limits?);
        let authenticator = Arc::new(Authenticator::new(token.clone()));
        Some(Self {
            auth: Auth::new(&token, supabase.clone(), Arc::clone(&authenticator)),
            llm: LlmProxy::new(llm?, limits.clone(), supabase.clone(), Arc::clone(&authenticator)),
            limits: RateLimit::new(limits, supabase.clone(), authenticator),
            ops: Ops::new(supabase),
        })
    }

    async fn answer(&self, request: Request, context: &Context) -> Result<Response, Problem> {
        let path = request.uri().path().to_owned();
        match segments(&path).as_slice() {
            ["auth", ..] | [".well-known", "jwks.json"] => self.auth.answer(request, context).await,
            ["v1", "limits", ..] => self.limits.answer(request, context).await,
            ["v1", "chat", "completions"]
            | ["v1", "embeddings" | "responses" | "messages" | "models" | "usage" | "cache"]
            | ["v1", "models", _]
            | ["v1", "usage", "export"] => self.llm.answer(request, context).await,
            _ => self.ops.answer(request, context).await,
        }
    }

    fn answer_unconfigured(request: &Request) -> Option<Result<Response, Problem>> {
        Ops::answer_unconfigured(request)
    }
}
