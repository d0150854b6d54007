//! What an instance holds: the port's context and the loaded functions.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use platform::Context;
use router::Edge;
use supabase::Supabase;
use wasm_bindgen::JsValue;
use worker::kv::KvStore;

use crate::background::Background;
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::host;
use crate::http_client::HttpClient;
use crate::key_value::KeyValue;
use crate::ledger::Ledger;
use crate::signatures::{SignatureVerifier, Signer};
use crate::variables::Variables;

/// The binding of the KV namespace.
const CACHE: &str = "CACHE";

/// One of each for the life of the WASM instance. No adapter belongs to a request: whichever invocation runs is asked of
/// the executor at the moment of use.
struct Instance {
    context: Context,
    edge: Option<Rc<Edge>>,
}

thread_local! {
    static INSTANCE: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// Makes the context from the Worker's bindings, and opens the log.
pub fn install(variables: &str, bindings: &JsValue) {
    let variables = Variables::from_json(variables);
    telemetry::install(variables.log_level(), || platform::Clock::now(&Clock), host::log);
    let context = Context {
        http: Arc::new(HttpClient),
        clock: Arc::new(Clock),
        entropy: Arc::new(Entropy),
        variables: Arc::new(variables),
        cache: Arc::new(KeyValue(KvStore::from_this(bindings, CACHE).ok())),
        ledger: Arc::new(Ledger::default()),
        background: Arc::new(Background),
        signatures: Arc::new(SignatureVerifier),
        signer: Arc::new(Signer),
    };
    INSTANCE.set(Some(Instance { context, edge: None }));
}

/// The context and the functions, loaded at first use. `None` before [`install`].
pub async fn loaded() -> Option<(Rc<Edge>, Context)> {
    let (edge, context) = INSTANCE.with_borrow(|instance| {
        let instance = instance.as_ref()?;
        Some((instance.edge.clone(), instance.context.clone()))
    })?;
    if let Some(edge) = edge {
        return Some((edge, context));
    }
    // Requests that arrive while this one loads do the same once more: waiting for another's task costs more.
    let edge = Rc::new(Edge::load(&context).await);
    INSTANCE.with_borrow_mut(|instance| instance.as_mut().map(|instance| instance.edge = Some(edge.clone())));
    Some((edge, context))
}

/// The project, for what is done on no request's behalf, and the context. An error names what is missing.
pub async fn supabase() -> Result<(Supabase, Context), String> {
    let context = INSTANCE.with_borrow(|instance| Some(instance.as_ref()?.context.clone()));
    let context = context.ok_or("the instance has not begun")?;
    let config = supabase::Config::load(&*context.variables).await.map_err(|error| error.to_string())?;
    Ok((Supabase::new(config), context))
}
