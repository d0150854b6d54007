//! What is measured: the edges of a running stack, or the one on the command line.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::account::{Account, User};
use crate::arguments::Arguments;
use crate::target::{Kind, Target};

/// The parts of `.local/stack.json` that are needed here.
#[derive(Deserialize)]
struct Stack {
    edges: BTreeMap<String, Edge>,
    simulator: Option<Simulator>,
    supabase: Supabase,
    demo: User,
}

#[derive(Deserialize)]
struct Edge {
    url: String,
    pid: Option<u32>,
}

#[derive(Deserialize)]
struct Simulator {
    url: String,
    pid: Option<u32>,
}

#[derive(Deserialize)]
struct Supabase {
    url: String,
    publishable_key: String,
}

const STACK: &str = ".local/stack.json";

/// The provider, and the edges in front of it. No provider when only sizes or boot times were asked for.
pub fn targets(arguments: &Arguments) -> Result<(Option<Target>, Vec<Target>), String> {
    let direct = |url: &str, pid| Target::new("direct", Kind::Direct, url, &arguments.direct_token, pid);
    if let Some(edge) = &arguments.edge {
        let provider = arguments.direct.as_deref().ok_or("--edge needs --direct, the provider's URL")?;
        let token = arguments.token.as_deref().ok_or("--edge needs --token, an access token")?;
        let edge = Target::new(&arguments.host, Kind::Edge, edge, token, arguments.edge_pid)?;
        return Ok((Some(direct(provider, arguments.direct_pid)?), vec![edge]));
    }
    if let Some(provider) = &arguments.direct {
        return Ok((Some(direct(provider, arguments.direct_pid)?), Vec::new()));
    }
    if arguments.needs_no_edge() {
        return Ok((None, Vec::new()));
    }
    let path = path(arguments);
    let Stack { edges, simulator, demo, .. } = read(path)?;
    let simulator =
        simulator.ok_or_else(|| format!("{path}: the stack runs with a real provider, not the simulator"))?;
    let edges = edges.iter().map(|(host, edge)| Target::new(host, Kind::Edge, &edge.url, &demo.access_token, edge.pid));
    Ok((Some(direct(&simulator.url, simulator.pid)?), edges.collect::<Result<_, _>>()?))
}

/// The user whose tokens edges are called with, if a stack is measured.
pub fn account(arguments: &Arguments) -> Result<Option<Account>, String> {
    if arguments.edge.is_some() || arguments.direct.is_some() {
        return Ok(None);
    }
    let Stack { supabase, demo, .. } = read(path(arguments))?;
    Account::new(&supabase.url, &supabase.publishable_key, demo).map(Some)
}

fn path(arguments: &Arguments) -> &str {
    arguments.stack.as_deref().unwrap_or(STACK)
}

fn read(path: &str) -> Result<Stack, String> {
    let text = std::fs::read(path)
        .map_err(|error| format!("cannot read {path}: {error}; is the stack up (cargo xtask up)? --help explains"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{path}: {error}"))
}
